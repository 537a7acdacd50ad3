//! Giving others their turn in work that never waits.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::limits;

/// Counts work, and lets others run when it was much.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    bytes: usize,
}

impl Pace {
    /// So many bytes were parsed or searched.
    pub(crate) async fn spend(&mut self, bytes: usize) {
        self.bytes += bytes;
        if self.bytes >= limits::TURN_BYTES {
            self.bytes = 0;
            turn().await;
        }
    }

    /// What was counted since others had their turn: whoever goes on has to count it as well.
    pub(crate) fn unspent(&self) -> usize {
        self.bytes
    }
}

/// Lets others run now.
pub(crate) async fn turn() {
    Turn { is_over: false }.await;
}

/// Is ready the second time it is polled.
struct Turn {
    is_over: bool,
}

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.is_over {
            return Poll::Ready(());
        }
        self.is_over = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
