//! Who may ask Garage for an object next. Accounts take turns, and within one it goes in the order
//! of asking: who wants a single message waits for one object of each other account that waits,
//! not for all that these read ahead.
//!
//! Who stands here is in a request of a connection, or was and has gone. Those who have gone leave
//! before a queue grows, so that it is at most about twice as long as what the account's connections
//! may ask for ahead.

use futures_channel::oneshot;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The line, and the places that nobody has taken.
pub(super) struct Line(Mutex<Queue>);

/// One may ask. The next one may when it is dropped.
pub(super) struct Place {
    /// `None`: it was given up.
    line: Option<Arc<Line>>,
}

#[derive(Default)]
struct Queue {
    /// Places without anybody; then nobody waits.
    free: usize,
    /// Accounts of which somebody waits, each once.
    turns: VecDeque<Box<str>>,
    /// Those who wait, in the order of asking; some may have gone.
    waiting: HashMap<Box<str>, VecDeque<oneshot::Sender<Place>>>,
}

impl Line {
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Queue {
            free: places,
            ..Queue::default()
        })))
    }

    /// Waits for a place for this account.
    pub(super) async fn place(self: &Arc<Self>, account: &str) -> Place {
        let turn = match self.queue().take_or_wait(account) {
            None => return Place::new(self),
            Some(turn) => turn,
        };
        turn.await.expect("the line forgets nobody who waits")
    }

    /// Lets so many more ask.
    pub(super) fn add(self: &Arc<Self>, places: usize) {
        for _ in 0..places {
            self.add_one();
        }
    }

    fn add_one(self: &Arc<Self>) {
        loop {
            // The lock is not held while a place is sent: who gets it may be gone already.
            let Some(next) = self.queue().next_or_free() else {
                return;
            };
            match next.send(Place::new(self)) {
                Ok(()) => return,
                Err(unwanted) => unwanted.give_up(),
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing in it can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Takes a free place, or a place in the line.
    fn take_or_wait(&mut self, account: &str) -> Option<oneshot::Receiver<Place>> {
        if let Some(free) = self.free.checked_sub(1) {
            self.free = free;
            return None;
        }
        let (sender, turn) = oneshot::channel();
        match self.waiting.get_mut(account) {
            Some(waiting) => {
                if waiting.len() == waiting.capacity() {
                    waiting.retain(|it| !it.is_canceled());
                }
                waiting.push_back(sender);
            }
            None => {
                self.turns.push_back(account.into());
                self.waiting.insert(account.into(), [sender].into());
            }
        }
        Some(turn)
    }

    /// Who is next; if nobody waits there is a free place more.
    fn next_or_free(&mut self) -> Option<oneshot::Sender<Place>> {
        let Some(account) = self.turns.pop_front() else {
            self.free += 1;
            return None;
        };
        let waiting = self.waiting.get_mut(&account);
        let waiting = waiting.expect("of each account with a turn somebody waits");
        let next = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&account);
        } else {
            self.turns.push_back(account);
        }
        next
    }
}

impl Place {
    fn new(line: &Arc<Line>) -> Self {
        let line = Some(Arc::clone(line));
        Self { line }
    }

    /// The next one may not ask for this.
    pub(super) fn give_up(mut self) {
        self.line = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            line.add_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::Future;
    use core::pin::Pin;
    use core::task::{Context, Poll, Waker};

    type Waiting<'a> = Pin<Box<dyn Future<Output = Place> + 'a>>;

    fn wait<'a>(line: &'a Arc<Line>, account: &'a str) -> Waiting<'a> {
        let mut waiting: Waiting<'a> = Box::pin(line.place(account));
        assert!(ready(&mut waiting).is_none(), "{account} need not wait");
        waiting
    }

    fn ready(waiting: &mut Waiting<'_>) -> Option<Place> {
        match waiting
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        }
    }

    /// Ends one after the other, and says who came next each time.
    fn order<'a>(first: Place, mut waiting: Vec<(&'a str, Waiting<'_>)>) -> Vec<&'a str> {
        let mut order = Vec::new();
        let mut held = first;
        while !waiting.is_empty() {
            drop(held);
            let mut got = Vec::new();
            for (at, (_, waiting)) in waiting.iter_mut().enumerate() {
                got.extend(ready(waiting).map(|place| (at, place)));
            }
            assert_eq!(got.len(), 1, "one place, after {order:?}");
            let (at, place) = got.remove(0);
            held = place;
            order.push(waiting.remove(at).0);
        }
        order
    }

    #[test]
    fn accounts_take_turns_and_each_is_served_in_the_order_of_asking() {
        let line = Line::new(1);
        let first = ready(&mut (Box::pin(line.place("a")) as Waiting<'_>)).unwrap();
        let asked = ["a1", "a2", "a3", "a4", "b1", "b2", "c1"];
        let waiting = asked.map(|who| (who, wait(&line, &who[..1])));
        let order = order(first, waiting.into());
        assert_eq!(order, ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]);
        let queue = line.queue();
        assert_eq!((queue.free, queue.waiting.len()), (1, 0), "nothing is left");
        assert!(queue.turns.is_empty());
    }

    #[test]
    fn who_has_gone_takes_no_place_before_or_after_it_was_given() {
        let line = Line::new(2);
        let mut held: Vec<Place> = (0..2)
            .map(|_| ready(&mut (Box::pin(line.place("a")) as Waiting<'_>)).unwrap())
            .collect();
        let gone = wait(&line, "a");
        let given = wait(&line, "b");
        let mut last = wait(&line, "b");
        drop(gone);
        // To the second, who has not looked yet, and goes.
        drop(held.pop());
        assert!(ready(&mut last).is_none());
        drop(given);
        let place = ready(&mut last).expect("it was given on");
        drop((place, held));
        assert_eq!(line.queue().free, 2);
    }

    #[test]
    fn who_asks_and_goes_again_and_again_does_not_make_the_line_longer() {
        let line = Line::new(0);
        let mut stays = wait(&line, "a");
        for _ in 0..1_000 {
            drop(wait(&line, "a"));
        }
        assert!(line.queue().waiting["a"].len() < 10);
        line.add(1);
        assert!(ready(&mut stays).is_some());
    }

    #[test]
    fn places_are_added_and_given_up() {
        let line = Line::new(0);
        let mut both = [wait(&line, "a"), wait(&line, "a")];
        line.add(3);
        let places: Vec<Place> = both.iter_mut().filter_map(ready).collect();
        assert_eq!((places.len(), line.queue().free), (2, 1));
        places.into_iter().for_each(Place::give_up);
        assert_eq!(line.queue().free, 1);
    }
}
