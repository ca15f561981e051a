//! A process that rings and is rung, while storage says of the shards what it likes: what others
//! announce is not sealed.
//!
//! Input: steps. Each is a change of ours, an answer to a request, or time that passes.

use super::source::Source;
use bytes::Bytes;
use core::time::Duration;
use restante_core::config::Config;
use restante_core::doorbell::{Change, Doorbell, DoorbellInput, DoorbellOutput, SHARDS};
use restante_core::mailbox::{AccountId, MailboxId};
use restante_core::random::Seed;
use restante_core::storage::{
    CausalityToken, Item, ItemKey, PartitionKey, RequestId, SortKey, StorageError, StorageRequest,
    StorageResponse,
};
use restante_core::time::{Instant, Now};
use std::sync::Arc;

/// Outputs that one input may have: of each shard some requests, and a ring for each change in
/// an answer.
const OUTPUTS_MAX: usize = 4_096;
/// Requests of a shard that may be open: a poll or a read, and a write or what it clears away.
const REQUESTS_MAX: usize = 4;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let mut process = Process::new();
    while !source.is_empty() && !process.done {
        let step = source.byte();
        match step % 8 {
            0 => process.input(DoorbellInput::Changed(change(source.byte()))),
            5 => process.pass_time(Duration::from_secs(u64::from(source.number()))),
            6 => process.pass_time(Duration::ZERO),
            7 if step >= 0xf0 => process.input(DoorbellInput::Shutdown),
            _ if process.open.is_empty() => {}
            _ => {
                let at = usize::from(source.byte()) % process.open.len();
                let (id, request) = process.open.remove(at);
                let response = process.lie(&request, &mut source);
                process.input(DoorbellInput::Storage(id, response));
            }
        }
    }
    process.come_to_rest();
}

fn change(number: u8) -> Change {
    Change {
        account: AccountId([number >> 2; 16]),
        log: (number & 1 != 0).then_some(MailboxId([number & 2; 16])),
    }
}

struct Process {
    machine: Doorbell,
    now: Now,
    open: Vec<(RequestId, StorageRequest)>,
    deadline: Option<Instant>,
    done: bool,
    /// Where it has announced something.
    own: Option<SortKey>,
}

impl Process {
    fn new() -> Self {
        let now = Now {
            instant: Instant(1_000_000),
            unix_ms: 1_800_000_000_000,
        };
        let config = Config {
            doorbell_changes_max: 4,
            log_page_items: 2,
            ..Config::default()
        };
        let mut process = Self {
            machine: Doorbell::new(Arc::new(config), Seed::new([1; 32]), now),
            now,
            open: Vec::new(),
            deadline: None,
            done: false,
            own: None,
        };
        process.drain();
        process
    }

    fn input(&mut self, input: DoorbellInput) {
        self.machine.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        for _ in 0..OUTPUTS_MAX {
            match self.machine.poll_output() {
                DoorbellOutput::Storage(id, request) => {
                    if let StorageRequest::InsertItems(items) = &request {
                        self.own = items.first().map(|item| item.key.sort.clone());
                    }
                    self.open.push((id, request));
                }
                DoorbellOutput::Abandon(id) => self.open.retain(|(open, _)| *open != id),
                DoorbellOutput::RungAll(shard) => assert!(shard < SHARDS),
                DoorbellOutput::Rung(_) | DoorbellOutput::Event(_) => {}
                DoorbellOutput::Wait { deadline } => {
                    self.deadline = deadline;
                    let requests = self.open.len();
                    assert!(requests <= REQUESTS_MAX * SHARDS as usize, "{requests}");
                    return;
                }
                DoorbellOutput::Done => {
                    self.done = true;
                    return;
                }
            }
        }
        panic!("it has no end of what it wants");
    }

    /// To the next deadline at least.
    fn pass_time(&mut self, time: Duration) {
        let before = self.now.instant;
        let later = before.after(time.max(Duration::from_millis(1)));
        self.now.instant = self.deadline.unwrap_or(later).max(later);
        self.now.unix_ms += (self.now.instant.0 - before.0) / 1_000;
        self.input(DoorbellInput::Timeout);
    }

    fn lie(&self, request: &StorageRequest, source: &mut Source<'_>) -> StorageResponse {
        let partition = match request {
            StorageRequest::ReadRange(range) => range.partition.clone(),
            StorageRequest::PollRange { partition, .. } => partition.clone(),
            _ => PartitionKey("!bell/0".to_owned()),
        };
        match source.byte() % 12 {
            0 => StorageResponse::Failed(StorageError::NotFound),
            1 => StorageResponse::Failed(StorageError::Unavailable("not now".to_owned())),
            2 => StorageResponse::Failed(StorageError::Refused("no".to_owned())),
            3 => StorageResponse::Done,
            4 => StorageResponse::Polled { seen: None },
            5 => StorageResponse::Polled {
                seen: Some("then".to_owned()),
            },
            6 => StorageResponse::Items(self.items(&partition, source)),
            7 => StorageResponse::Chunk(Bytes::copy_from_slice(source.octets())),
            8 => honest(request),
            number => StorageResponse::Range {
                items: self.items(&partition, source),
                next: (number == 9).then(|| self.sort_key(source)),
            },
        }
    }

    fn items(&self, partition: &PartitionKey, source: &mut Source<'_>) -> Vec<Item> {
        let count = source.byte() % 4;
        let item = |source: &mut Source<'_>| Item {
            key: ItemKey {
                partition: partition.clone(),
                sort: self.sort_key(source),
            },
            token: CausalityToken("token".to_owned()),
            values: (0..source.byte() % 3)
                .map(|_| announcement(source))
                .collect(),
        };
        (0..count).map(|_| item(source)).collect()
    }

    fn sort_key(&self, source: &mut Source<'_>) -> SortKey {
        match source.byte() {
            0xff => SortKey(String::from_utf8_lossy(source.octets()).into_owned()),
            0xfe => self.own.clone().unwrap_or(SortKey(String::new())),
            number => SortKey(format!("{:032x}", number % 4)),
        }
    }

    /// Storage is honest again, and the process is to end.
    fn come_to_rest(&mut self) {
        if !self.done {
            self.input(DoorbellInput::Shutdown);
        }
        for _ in 0..1_000 {
            if self.done {
                return;
            }
            match self.open.pop() {
                Some((id, request)) => {
                    self.input(DoorbellInput::Storage(id, honest(&request)));
                }
                None => self.pass_time(Duration::ZERO),
            }
        }
        panic!("it does not end");
    }
}

/// There is nothing, and everything is stored.
fn honest(request: &StorageRequest) -> StorageResponse {
    match request {
        StorageRequest::ReadRange(_) => StorageResponse::Range {
            items: vec![],
            next: None,
        },
        StorageRequest::ReadItems(_) => StorageResponse::Items(vec![]),
        StorageRequest::PollRange { .. } => StorageResponse::Polled { seen: None },
        _ => StorageResponse::Done,
    }
}

/// What another process says, of any octets or well formed (`announcement.rs` in the core).
fn announcement(source: &mut Source<'_>) -> Bytes {
    let kind = source.byte();
    if kind & 1 != 0 {
        return Bytes::copy_from_slice(source.octets());
    }
    let small = |source: &mut Source<'_>| source.byte() & 0x7f;
    let mut bytes = vec![1, small(source), small(source), small(source)];
    let count = kind >> 1 & 3;
    bytes.push(count);
    for _ in 0..count {
        bytes.push(small(source));
        let change = change(source.byte());
        bytes.extend_from_slice(&change.account.0);
        match change.log {
            None => bytes.push(0),
            Some(mailbox) => {
                bytes.push(1);
                bytes.extend_from_slice(&mailbox.0);
            }
        }
    }
    bytes.into()
}
