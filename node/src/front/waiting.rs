//! Who was let in and has not logged in yet: how many, of how many addresses, and for how long.
//!
//! Whoever comes last gets in: it may be somebody who wants to read mail, while those who have
//! waited longest most likely do not. So when an address has as many as it may have, the oldest of
//! them is sent away, and so is the oldest of all when there are too many altogether. Nobody waits
//! for longer than a fixed time, however slowly they go on talking.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Those who wait at one door. Clones are the same.
#[derive(Clone)]
pub struct Waiting {
    bounds: Bounds,
    places: Arc<Mutex<Places>>,
}

/// How many may wait, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Of one address.
    pub per_address_max: usize,
    /// Of all together.
    pub all_max: usize,
    /// From being let in to having logged in.
    pub time_max: Duration,
}

#[derive(Default)]
struct Places {
    /// The number of the next one.
    next: u64,
    /// By age: the address of each.
    all: BTreeMap<u64, IpAddr>,
    /// Of each address, by age. Who cannot be sent away has nothing to be told by.
    of_address: HashMap<IpAddr, BTreeMap<u64, Option<oneshot::Sender<()>>>>,
}

/// One who waits, until this is dropped.
pub struct Place {
    waiting: Waiting,
    number: u64,
}

/// Comes to its end when the one who waits is to go.
pub struct Patience {
    told: oneshot::Receiver<()>,
    time_max: Duration,
}

impl Waiting {
    /// Nobody waits.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            places: Arc::default(),
        }
    }

    /// One more of this address waits, and another is sent away if there are too many; none if
    /// nobody can be.
    #[must_use]
    pub fn enter(&self, address: IpAddr) -> Option<(Place, Patience)> {
        let address = address.to_canonical();
        let mut places = self.places.lock();
        let of_address = places.of_address.get(&address);
        if of_address.is_some_and(|of_address| of_address.len() >= self.bounds.per_address_max) {
            let oldest = of_address.and_then(oldest_of)?;
            places.send_away(oldest);
        }
        if places.all.len() >= self.bounds.all_max {
            let oldest = places.oldest()?;
            places.send_away(oldest);
        }
        let (tell, told) = oneshot::channel();
        let number = places.add(address, Some(tell));
        drop(places);
        let patience = Patience {
            told,
            time_max: self.bounds.time_max,
        };
        Some((self.place(number), patience))
    }

    /// Somebody who was inside waits again, however many there are, and is not sent away.
    #[must_use]
    pub fn enter_again(&self, address: IpAddr) -> Place {
        let number = self.places.lock().add(address.to_canonical(), None);
        self.place(number)
    }

    fn place(&self, number: u64) -> Place {
        Place {
            waiting: self.clone(),
            number,
        }
    }
}

/// The oldest who can be sent away.
fn oldest_of(places: &BTreeMap<u64, Option<oneshot::Sender<()>>>) -> Option<u64> {
    let mut places = places.iter();
    places.find_map(|(number, tell)| tell.is_some().then_some(*number))
}

impl Places {
    fn add(&mut self, address: IpAddr, tell: Option<oneshot::Sender<()>>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.all.insert(number, address);
        let of_address = self.of_address.entry(address).or_default();
        of_address.insert(number, tell);
        number
    }

    fn remove(&mut self, number: u64) -> Option<oneshot::Sender<()>> {
        let address = self.all.remove(&number)?;
        let of_address = self.of_address.get_mut(&address)?;
        let tell = of_address.remove(&number);
        if of_address.is_empty() {
            self.of_address.remove(&address);
        }
        tell?
    }

    fn send_away(&mut self, number: u64) {
        if let Some(tell) = self.remove(number) {
            // Who is gone already needs not be told.
            let _ = tell.send(());
        }
    }

    /// The oldest of all who can be sent away.
    fn oldest(&self) -> Option<u64> {
        let can_go = |(number, address): (&u64, &IpAddr)| {
            let of_address = self.of_address.get(address)?;
            matches!(of_address.get(number), Some(Some(_))).then_some(*number)
        };
        self.all.iter().find_map(can_go)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.waiting.places.lock().remove(self.number));
    }
}

impl Patience {
    /// Serves for as long as it may last: to its end, if it logs in. The future is to be boxed, or
    /// there would be room for two of it.
    pub async fn bound(self, serve: impl Future<Output = ()> + Unpin) {
        let ends = async {
            if let Ok(Err(_)) = tokio::time::timeout(self.time_max, self.told).await {
                // It has logged in, or is gone.
                std::future::pending().await
            }
        };
        tokio::select! {
            () = serve => {}
            () = ends => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        per_address_max: 2,
        all_max: 4,
        time_max: Duration::from_secs(60),
    };

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn is_sent_away(patience: &mut Patience) -> bool {
        patience.told.try_recv().is_ok()
    }

    #[test]
    fn the_oldest_of_an_address_goes() {
        let waiting = Waiting::new(BOUNDS);
        let (one, mut first) = waiting.enter(address(1)).unwrap();
        let (_two, mut second) = waiting.enter(address(1)).unwrap();
        let (_other, mut other) = waiting.enter(address(2)).unwrap();
        assert!(!is_sent_away(&mut first));
        let (_three, mut third) = waiting.enter(address(1)).unwrap();
        assert!(is_sent_away(&mut first), "the oldest");
        drop(one);
        assert!(!is_sent_away(&mut second) && !is_sent_away(&mut other));
        let (_four, _) = waiting.enter(address(1)).unwrap();
        assert!(is_sent_away(&mut second));
        assert!(!is_sent_away(&mut third) && !is_sent_away(&mut other));
    }

    #[test]
    fn the_oldest_of_all_goes() {
        let waiting = Waiting::new(BOUNDS);
        let mut inside: Vec<_> = (1..=4)
            .map(|last| waiting.enter(address(last)).unwrap())
            .collect();
        let (_place, _) = waiting.enter(address(5)).unwrap();
        let gone: Vec<_> = inside
            .iter_mut()
            .map(|(_, patience)| is_sent_away(patience))
            .collect();
        assert_eq!(gone, [true, false, false, false]);
    }

    #[test]
    fn a_place_that_is_free_is_free() {
        let waiting = Waiting::new(BOUNDS);
        let (_one, mut first) = waiting.enter(address(1)).unwrap();
        for _ in 0..10 {
            let (place, _) = waiting.enter(address(1)).unwrap();
            drop(place);
        }
        assert!(!is_sent_away(&mut first));
        let places = waiting.places.lock();
        assert_eq!((places.all.len(), places.of_address.len()), (1, 1));
    }

    #[test]
    fn who_was_inside_is_not_sent_away() {
        let waiting = Waiting::new(BOUNDS);
        let again: Vec<_> = (0..3).map(|_| waiting.enter_again(address(1))).collect();
        assert!(waiting.enter(address(1)).is_none(), "none can go");
        assert!(waiting.enter(address(2)).is_some());
        drop(again);
        assert!(waiting.enter(address(1)).is_some());
    }

    /// However it goes on talking, it is closed when its time is over; not if it has logged in.
    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let time_max = Duration::from_millis(20);
        let waiting = Waiting::new(Bounds { time_max, ..BOUNDS });
        let (_place, patience) = waiting.enter(address(1)).unwrap();
        patience.bound(pending::<()>()).await;

        let (place, patience) = waiting.enter(address(1)).unwrap();
        drop(place);
        let mut is_served = false;
        let serve = async {
            tokio::time::sleep(5 * time_max).await;
            is_served = true;
        };
        patience.bound(Box::pin(serve)).await;
        assert!(is_served);
    }
}
