//! Runs tasks until none can go on.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use imap::End;

/// A session that runs.
pub struct Task {
    future: Option<Pin<Box<dyn Future<Output = End>>>>,
    flag: Arc<Flag>,
    pub end: Option<End>,
    /// How often it had its turn.
    pub turns: u64,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Flag>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Task {
    pub fn new(future: impl Future<Output = End> + 'static) -> Task {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        Task {
            future: Some(Box::pin(future)),
            flag,
            end: None,
            turns: 0,
        }
    }

    /// Polls it if something woke it; whether it was polled.
    fn poll(&mut self) -> bool {
        let Some(future) = &mut self.future else {
            return false;
        };
        if !self.flag.0.swap(false, Ordering::SeqCst) {
            return false;
        }
        self.turns += 1;
        let waker = Waker::from(Arc::clone(&self.flag));
        if let Poll::Ready(end) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.end = Some(end);
            self.future = None;
        }
        true
    }
}

/// Polls all tasks until none can go on.
pub fn run<'t>(tasks: impl IntoIterator<Item = &'t mut Task>) {
    let mut tasks: Vec<&mut Task> = tasks.into_iter().collect();
    while tasks.iter_mut().any(|task| task.poll()) {}
}
