//! A number of things that may be under way at once; whoever comes later waits.

use async_channel::{Receiver, Sender};

/// Permits, handed out in the order of asking.
pub(crate) struct Permits {
    free: Receiver<()>,
    back: Sender<()>,
}

/// One permit, given back when dropped.
pub(crate) struct Permit(Sender<()>);

impl Permits {
    pub(crate) fn new(max: usize) -> Self {
        let (back, free) = async_channel::bounded(max.max(1));
        for _ in 0..max.max(1) {
            back.try_send(()).expect("there is room for every permit");
        }
        Self { free, back }
    }

    /// Waits for a permit.
    pub(crate) async fn take(&self) -> Permit {
        self.free.recv().await.expect("the sending side is here");
        Permit(self.back.clone())
    }

    /// A permit, if one is free.
    pub(crate) fn try_take(&self) -> Option<Permit> {
        self.free.try_recv().ok()?;
        Some(Permit(self.back.clone()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // There is room: this permit was taken out. And nobody may be left to want it.
        let _closed = self.0.try_send(());
    }
}
