//! The machine: all shards of one process.

use super::outgoing::{Outgoing, reason};
use super::watch::{Answered, Watch};
use super::{DoorbellInput, DoorbellOutput, SHARDS, partition_of, shard_of};
use crate::boundary::Event;
use crate::config::Config;
use crate::mailbox::WriterId;
use crate::random::{Random, Seed};
use crate::storage::{ItemKey, RequestId, SortKey, StorageRequest, StorageResponse};
use crate::time::Now;
use crate::workflow::RequestIds;
use std::collections::VecDeque;
use std::sync::Arc;

/// The doorbells of one server process.
///
/// Its owner is one task and keeps to this contract:
///
/// - After [`new`](Self::new) and every [`handle_input`](Self::handle_input) it calls
///   [`poll_output`](Self::poll_output) until that says `Wait` or `Done`, and carries out
///   each output.
/// - Each [`DoorbellOutput::Storage`] is answered by one [`DoorbellInput::Storage`], unless
///   it was abandoned. Answers may come in any order.
/// - At the deadline of the last `Wait` it gives [`DoorbellInput::Timeout`].
///
/// ```
/// use restante_core::config::Config;
/// use restante_core::doorbell::{Change, Doorbell, DoorbellInput, DoorbellOutput};
/// use restante_core::mailbox::AccountId;
/// use restante_core::random::Seed;
/// use restante_core::storage::{StorageRequest, StorageResponse};
/// use restante_core::time::{Instant, Now};
/// use std::sync::Arc;
///
/// let now = Now { instant: Instant(0), unix_ms: 1_700_000_000_000 };
/// let mut doorbell = Doorbell::new(Arc::new(Config::default()), Seed::new([1; 32]), now);
/// let account = AccountId([1; 16]);
/// doorbell.handle_input(now, DoorbellInput::Changed(Change { account, log: None }));
/// doorbell.handle_input(now, DoorbellInput::Shutdown);
/// let mut announced = 0;
/// loop {
///     match doorbell.poll_output() {
///         DoorbellOutput::Storage(id, StorageRequest::InsertItems(items)) => {
///             announced += items.len();
///             // Here it is stored at once.
///             doorbell.handle_input(now, DoorbellInput::Storage(id, StorageResponse::Done));
///         }
///         // The long polls, which end with the shutdown.
///         DoorbellOutput::Storage(..) | DoorbellOutput::Abandon(_) => {}
///         DoorbellOutput::Rung(_) | DoorbellOutput::RungAll(_) => {}
///         DoorbellOutput::Event(_) => {}
///         DoorbellOutput::Wait { .. } => unreachable!("nothing is left to wait for"),
///         DoorbellOutput::Done => break,
///     }
/// }
/// assert_eq!(announced, 1);
/// ```
#[derive(Debug)]
pub struct Doorbell {
    config: Arc<Config>,
    shards: Vec<Shard>,
    own: SortKey,
    outlet: Outlet,
    shutdown: bool,
}

#[derive(Debug)]
struct Shard {
    outgoing: Outgoing,
    watch: Watch,
}

/// The way out, for the parts of the machine.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    ids: RequestIds,
    outputs: VecDeque<DoorbellOutput>,
}

impl Outlet {
    pub(super) fn push(&mut self, output: DoorbellOutput) {
        self.outputs.push_back(output);
    }

    pub(super) fn request(&mut self, request: StorageRequest) -> RequestId {
        let id = self.ids.next();
        self.push(DoorbellOutput::Storage(id, request));
        id
    }

    /// Sends a request whose answer changes nothing.
    pub(super) fn forget(&mut self, request: StorageRequest) {
        self.request(request);
    }

    pub(super) fn abandon(&mut self, id: RequestId) {
        self.push(DoorbellOutput::Abandon(id));
    }

    pub(super) fn failed(&mut self, step: &'static str, response: &StorageResponse) {
        let reason = reason(response);
        self.push(DoorbellOutput::Event(Event::StorageFailed { step, reason }));
    }
}

impl Doorbell {
    /// Begins to watch.
    #[must_use]
    pub fn new(config: Arc<Config>, seed: Seed, now: Now) -> Self {
        let process = WriterId::at(now.unix_ms, &mut Random::new(seed));
        let own = SortKey(process.to_string());
        let shards = (0..SHARDS).map(|shard| {
            let (partition, sort) = (partition_of(shard), own.clone());
            Shard {
                watch: Watch::new(shard, partition.clone()),
                outgoing: Outgoing::new(ItemKey { partition, sort }),
            }
        });
        let mut doorbell = Self {
            config,
            shards: shards.collect(),
            own,
            outlet: Outlet::default(),
            shutdown: false,
        };
        doorbell.run(now);
        doorbell
    }

    /// Takes an input. Never fails.
    pub fn handle_input(&mut self, now: Now, input: DoorbellInput) {
        match input {
            DoorbellInput::Changed(change) => {
                if let Some(it) = self.shards.get_mut(shard_of(change.account) as usize) {
                    it.outgoing.add(change, &self.config);
                }
            }
            DoorbellInput::Storage(id, response) => self.answer(now, id, response),
            DoorbellInput::Timeout => {}
            DoorbellInput::Shutdown => {
                self.shutdown = true;
                for shard in &mut self.shards {
                    shard.watch.end(&mut self.outlet);
                }
            }
        }
        self.run(now);
    }

    /// The next thing to be done; to be called until it is `Wait` or `Done`.
    pub fn poll_output(&mut self) -> DoorbellOutput {
        if let Some(output) = self.outlet.outputs.pop_front() {
            return output;
        }
        if self.shutdown && self.shards.iter().all(|it| it.outgoing.is_quiet()) {
            return DoorbellOutput::Done;
        }
        let deadlines = self.shards.iter().flat_map(|shard| {
            let watch = shard.watch.deadline(&self.config);
            [
                shard.outgoing.deadline(&self.config),
                watch.filter(|_| !self.shutdown),
            ]
        });
        DoorbellOutput::Wait {
            deadline: deadlines.flatten().min(),
        }
    }

    fn answer(&mut self, now: Now, id: RequestId, response: StorageResponse) {
        let (config, outlet) = (&self.config, &mut self.outlet);
        for shard in &mut self.shards {
            if shard.outgoing.answer(now, id, &response, config, outlet) {
                return;
            }
        }
        let mut response = Some(response);
        for shard in &mut self.shards {
            if !shard.watch.asked(id) {
                continue;
            }
            let Some(response) = response.take() else {
                return;
            };
            let answered = shard
                .watch
                .answer(now, id, response, &self.own, config, outlet);
            if let Answered::Read(token) = answered {
                shard.outgoing.was_read(token);
            }
            return;
        }
    }

    fn run(&mut self, now: Now) {
        for shard in &mut self.shards {
            if self.shutdown {
                shard.outgoing.hurry();
            }
            shard.outgoing.run(now, &self.config, &mut self.outlet);
            if self.shutdown {
                // Whatever is still to be said failed just now, or nobody may say it.
                if shard.outgoing.must_read() || shard.outgoing.deadline(&self.config).is_some() {
                    shard.outgoing.give_up();
                }
                continue;
            }
            if shard.outgoing.must_read() {
                shard.watch.want_read();
            }
            shard.watch.run(now, &self.config, &mut self.outlet);
        }
    }
}
