//! Places for connections: so many of each kind, and no more.
//!
//! A stranger can take a client's place by connecting, and keep it without a word for as long as
//! a login may take (with implicit TLS once for TLS to begin, and once more after that). So where all
//! are taken, the client that is there for longest without having logged in gives way to the one who
//! comes; nobody who has logged in does. Who wants to keep others out that way has to connect, within
//! the time that their login takes, as often as there are places of which those who are logged in leave
//! none: where they are many these are few, so `limits.connections_max` is to be well above their number.
//! And a login that waits behind wrong passwords of its address takes up to half a minute.

use super::flood::Flood;
use core::sync::atomic::{AtomicUsize, Ordering};
use futures_util::future::{AbortHandle, AbortRegistration};
use restante_core::account::ConnectionId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Places for the connections of one kind. Kinds do not share them: strangers who take all of
/// theirs must not keep the mail server out.
pub(super) struct Places {
    taken: AtomicUsize,
    max: usize,
    /// Those who give way, the oldest first: not logged in, where anybody logs in.
    strangers: Mutex<BTreeMap<ConnectionId, AbortHandle>>,
    give_way: bool,
    /// Those who came when there were too many.
    pub(super) refused: Flood,
    /// Those who had to give way.
    pub(super) gone: Flood,
}

impl Places {
    /// Who has one keeps it.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self::with(max, false))
    }

    /// Who does not log in may have to give way.
    pub(super) fn for_logins(max: usize) -> Arc<Self> {
        Arc::new(Self::with(max, true))
    }

    fn with(max: usize, give_way: bool) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            max,
            strangers: Mutex::default(),
            give_way,
            refused: Flood::default(),
            gone: Flood::default(),
        }
    }

    /// How many are taken; for a moment also those whose connections are giving way.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// This connection keeps its place from now on.
    pub(super) fn logged_in(&self, id: ConnectionId) {
        self.strangers().remove(&id);
    }

    fn strangers(&self) -> MutexGuard<'_, BTreeMap<ConnectionId, AbortHandle>> {
        self.strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place.
pub(super) struct Place {
    places: Arc<Places>,
    id: ConnectionId,
}

/// A place that was taken, and how.
pub(super) struct Taken {
    pub(super) place: Place,
    /// Ends the connection when it has to give way.
    pub(super) end: AbortRegistration,
    /// Whether somebody else had to.
    pub(super) instead: bool,
}

impl Place {
    /// A place, if there is one or somebody gives way.
    pub(super) fn take(places: &Arc<Places>, id: ConnectionId) -> Option<Taken> {
        let before = places.taken.fetch_add(1, Ordering::SeqCst);
        let place = Self {
            places: Arc::clone(places),
            id,
        };
        let mut strangers = places.strangers();
        let instead = before >= places.max;
        if instead {
            let oldest = strangers.pop_first();
            let Some((_, oldest)) = oldest else {
                drop(strangers);
                return None;
            };
            oldest.abort();
        }
        let (handle, end) = AbortHandle::new_pair();
        if places.give_way {
            strangers.insert(id, handle);
        }
        drop(strangers);
        Some(Taken {
            place,
            end,
            instead,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.strangers().remove(&self.id);
        self.places.taken.fetch_sub(1, Ordering::SeqCst);
    }
}
