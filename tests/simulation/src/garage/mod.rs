//! A model of Garage: three nodes that each keep everything, quorums of two, and a network
//! between them and to the servers. What it promises is what Garage promises: what was
//! acknowledged is read by all who ask later. All else may happen.
//!
//! Nothing happens at once: a request becomes deeds, each at its time.

mod items;
mod objects;
mod polls;
mod versions;
mod weather;

pub(crate) use weather::{Fate, Weather};

use crate::chance::Chance;
use bytes::Bytes;
use restante_core::storage::{
    CausalityToken, InsertItem, ItemKey, ObjectKey, PartitionKey, RequestId, SortKey, StorageError,
    StorageRequest, StorageResponse,
};
use std::collections::BTreeMap;
use versions::Versions;

/// Nodes of the cluster.
pub(crate) const NODES: usize = 3;
/// After so long a request whose answer does not come is given up, in microseconds.
const TIMEOUT_US: u64 = 10_000_000;
/// What the names of partitions begin with that are polled.
const BELLS: &str = "!bell/";

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Caller {
    /// Which server.
    pub(crate) process: usize,
    /// Which life of it.
    pub(crate) life: u64,
    /// Which machine in it: the number of a connection, or of an account machine.
    pub(crate) machine: u64,
    /// The machine's own number for it.
    pub(crate) request: RequestId,
}

/// Something that storage does at some time.
#[derive(Debug)]
pub(crate) enum Deed {
    /// A request reaches the node that carries it out.
    Run(Box<Call>),
    /// A read has the answer of its second node.
    Gather(Box<Gathering>),
    /// What one node has taken in reaches another.
    Spread(usize, Spread),
    /// A poll begins to wait; whether it misses what came since it was sent.
    Arm(Box<polls::Poll>, bool),
    /// The time of a poll is over that waits at a node.
    EndPoll(Caller, usize),
    /// The answer reaches the server.
    Answer(Caller, StorageResponse),
}

impl Deed {
    /// Which server it reaches, if any.
    pub(crate) fn answers(&self) -> Option<usize> {
        match self {
            Self::Answer(caller, _) => Some(caller.process),
            _ => None,
        }
    }
}

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Call {
    caller: Caller,
    request: StorageRequest,
    fate: Fate,
    /// Whether anybody waits for the answer.
    answered: bool,
    /// An object that is to be finished: its octets.
    body: Option<(ObjectKey, Bytes)>,
}

/// A read, and what of it is known yet.
#[derive(Debug)]
struct Reading {
    call: Call,
    gateway: usize,
    /// What is still to be looked at, some at a time: several items, and a range that is asked for
    /// in several stretches, are not seen at one moment.
    later: Vec<Look>,
    found: BTreeMap<ItemKey, Versions>,
}

/// From a sort key to the one behind it.
type Stretch = (SortKey, Option<SortKey>);

/// What of a read is seen at one moment.
#[derive(Debug)]
enum Look {
    Object,
    Items(Vec<ItemKey>),
    Stretches(Vec<Stretch>),
}

/// A read of which one node has answered, for this of it.
#[derive(Debug)]
pub(crate) struct Gathering {
    reading: Reading,
    look: Look,
    first: Seen,
    first_node: usize,
    second_node: usize,
}

/// What one node answers.
#[derive(Debug)]
enum Seen {
    Items(BTreeMap<ItemKey, Versions>),
    Object(Option<Row>),
}

/// What goes from one node to another.
#[derive(Clone, Debug)]
pub(crate) enum Spread {
    /// An item.
    Item(ItemKey, Box<ItemState>),
    /// A row of the table of objects.
    Object(ObjectKey, ObjectState),
}

/// The state of an item on a node.
#[derive(Clone, Debug)]
pub(crate) struct ItemState(Versions);

/// The state of an object on a node.
#[derive(Clone, Debug)]
pub(crate) struct ObjectState(Row);

/// The newest version of an object that a node knows; `None` was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    stamp: (u64, u64),
    body: Option<Bytes>,
}

#[derive(Debug, Default)]
struct Node {
    items: BTreeMap<ItemKey, Versions>,
    objects: BTreeMap<ObjectKey, Row>,
}

#[derive(Debug)]
enum Stream {
    Reading(Bytes),
    Writing(ObjectKey, Vec<u8>),
}

/// The cluster.
#[derive(Debug)]
pub(crate) struct Garage {
    nodes: [Node; NODES],
    up: [bool; NODES],
    /// Whether two nodes reach each other.
    links: [[bool; NODES]; NODES],
    /// Whether a server reaches a node.
    reach: Vec<[bool; NODES]>,
    /// How likely which fault is.
    pub(crate) weather: Weather,
    streams: BTreeMap<Caller, Stream>,
    polls: Vec<polls::Poll>,
    markers: polls::Markers,
    /// Requests that no answer has gone out for.
    open: BTreeMap<Caller, &'static str>,
    stamps: u64,
    /// Whether reads of ranges show deleted items, without values.
    shows_deleted: bool,
    /// What a machine did that its contract forbids.
    pub(crate) broken: Option<String>,
}

/// Deeds with their times.
pub(crate) type Deeds = Vec<(u64, Deed)>;

impl Garage {
    /// An empty cluster that so many servers use.
    #[must_use]
    pub(crate) fn new(servers: usize, chance: &mut Chance) -> Self {
        Self {
            nodes: Default::default(),
            up: [true; NODES],
            links: [[true; NODES]; NODES],
            reach: vec![[true; NODES]; servers],
            weather: Weather::fair(),
            streams: BTreeMap::new(),
            polls: Vec::new(),
            markers: polls::Markers::default(),
            open: BTreeMap::new(),
            stamps: 0,
            shows_deleted: chance.permille(500),
            broken: None,
        }
    }

    /// Takes a request.
    pub(crate) fn request(
        &mut self,
        now: u64,
        chance: &mut Chance,
        caller: Caller,
        request: StorageRequest,
    ) -> Deeds {
        let kind = kind(&request);
        if self.open.insert(caller, kind).is_some() {
            self.broken = Some(format!("{caller:?}: two requests under one id"));
        }
        let mut body = None;
        match &request {
            StorageRequest::ReadChunk { .. } | StorageRequest::WriteChunk(_) => {
                return self.step(now, chance, caller, request);
            }
            StorageRequest::FinishObject => match self.streams.remove(&caller) {
                Some(Stream::Writing(key, octets)) => body = Some((key, octets.into())),
                _ => return self.no_stream(now, caller, kind),
            },
            _ => {}
        }
        let fate = self.weather.fate(chance, &request);
        let call = Call {
            caller,
            request,
            fate,
            answered: true,
            body,
        };
        self.start(now, chance, call)
    }

    fn start(&mut self, now: u64, chance: &mut Chance, call: Call) -> Deeds {
        let delay = self.weather.delay(chance);
        let caller = call.caller;
        let failed = |after: u64, why: &str| (now + after, failure(caller, why));
        let silent = |call: Call| Call {
            answered: false,
            ..call
        };
        match call.fate {
            Fate::Works | Fate::Partial(..) => {
                vec![(now + delay, Deed::Run(Box::new(call)))]
            }
            Fate::Refused => vec![failed(delay, "503")],
            Fate::Full => {
                let answer = StorageResponse::Failed(StorageError::Full);
                vec![(now + delay, Deed::Answer(caller, answer))]
            }
            Fate::Lost => vec![failed(TIMEOUT_US, "lost")],
            Fate::AnswerLost => vec![
                (now + delay, Deed::Run(Box::new(silent(call)))),
                failed(TIMEOUT_US, "no answer"),
            ],
            Fate::Late(late) => vec![
                (now + TIMEOUT_US + late, Deed::Run(Box::new(silent(call)))),
                failed(chance.between(1_000, TIMEOUT_US), "no answer yet"),
            ],
            Fate::Twice(late) => {
                let again = Call {
                    caller,
                    request: call.request.clone(),
                    fate: Fate::Works,
                    answered: false,
                    body: call.body.clone(),
                };
                vec![
                    (now + delay, Deed::Run(Box::new(call))),
                    (now + delay + late, Deed::Run(Box::new(again))),
                ]
            }
        }
    }

    /// Carries out a deed.
    pub(crate) fn perform(&mut self, now: u64, chance: &mut Chance, deed: Deed) -> Deeds {
        match deed {
            Deed::Run(call) => self.run(now, chance, *call),
            Deed::Gather(gathering) => self.gather(now, chance, *gathering),
            Deed::Spread(to, Spread::Item(key, state)) => {
                let polled = key.partition.0.starts_with(BELLS);
                self.nodes[to].items.entry(key).or_default().merge(&state.0);
                match polled {
                    true => self.wake_polls(now, chance, to),
                    false => Vec::new(),
                }
            }
            Deed::Spread(to, Spread::Object(key, state)) => {
                self.nodes[to].take_row(key, state.0);
                Vec::new()
            }
            Deed::Arm(poll, misses) => self.arm(now, chance, *poll, misses),
            Deed::EndPoll(caller, node) => self.end_poll(now, chance, caller, node),
            Deed::Answer(..) => unreachable!("answers go to the servers"),
        }
    }

    /// An answer arrives; whether the machine still waits for it.
    pub(crate) fn answered(&mut self, caller: Caller, response: &StorageResponse) -> bool {
        if matches!(response, StorageResponse::Failed(_)) {
            self.streams.remove(&caller);
        }
        self.open.remove(&caller).is_some()
    }

    /// A machine wants no answer any more.
    pub(crate) fn abandon(&mut self, caller: Caller) {
        self.open.remove(&caller);
        self.polls.retain(|poll| !poll.is_of(|it| *it == caller));
        self.streams.remove(&caller);
    }

    /// A server has died: what it had open is gone; what is under way goes on.
    pub(crate) fn forget_server(&mut self, process: usize) {
        self.open.retain(|caller, _| caller.process != process);
        self.polls
            .retain(|poll| !poll.is_of(|it| it.process == process));
        self.streams.retain(|caller, _| caller.process != process);
    }

    /// A machine has gone: it must have had nothing open but what it abandoned.
    pub(crate) fn forget_machine(&mut self, process: usize, machine: u64) {
        let of = |caller: &Caller| caller.process == process && caller.machine == machine;
        self.open.retain(|caller, _| !of(caller));
        self.polls.retain(|poll| !poll.is_of(of));
        self.streams.retain(|caller, _| !of(caller));
    }

    /// Requests that wait for their answer.
    #[must_use]
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    /// Something in the network breaks or heals, or nodes compare what they have.
    pub(crate) fn disturb(&mut self, chance: &mut Chance) -> String {
        let (one, two) = (chance.index(NODES), chance.index(NODES));
        match chance.below(6) {
            0 if one != two => {
                let up = !self.links[one][two];
                self.links[one][two] = up;
                self.links[two][one] = up;
                format!("nodes {one} and {two} reach each other: {up}")
            }
            1 => {
                let process = chance.index(self.reach.len());
                self.reach[process][one] = !self.reach[process][one];
                let up = self.reach[process][one];
                format!("server {process} reaches node {one}: {up}")
            }
            // Never more than one node at a time is down: two would only be a pause.
            2 if self.up.iter().all(|up| *up) || !self.up[one] => {
                self.up[one] = !self.up[one];
                format!("node {one} is up: {}", self.up[one])
            }
            3 => {
                self.heal();
                "the network is whole".to_owned()
            }
            _ => {
                if self.connected(one, two) {
                    self.synchronise(one, two, chance, 500);
                }
                format!("nodes {one} and {two} compare")
            }
        }
    }

    /// Everybody reaches everybody again.
    pub(crate) fn heal(&mut self) {
        self.up = [true; NODES];
        self.links = [[true; NODES]; NODES];
        self.reach.fill([true; NODES]);
    }

    /// Whether all nodes and all ways to them are as they should be, and the weather is fair.
    pub(crate) fn is_whole(&self) -> bool {
        let ways = self.links.iter().chain(&self.reach);
        let mut all = ways.flatten().chain(&self.up);
        all.all(|works| *works) && self.weather == Weather::fair()
    }

    /// All nodes have everything.
    pub(crate) fn repair(&mut self, chance: &mut Chance) {
        for (one, two) in [(0, 1), (1, 2), (2, 0), (0, 1)] {
            self.synchronise(one, two, chance, 1_000);
        }
    }

    fn synchronise(&mut self, one: usize, two: usize, chance: &mut Chance, permille: u64) {
        for (from, to) in [(one, two), (two, one)] {
            let items: Vec<_> = self.nodes[from].items.clone().into_iter().collect();
            for (key, versions) in items {
                if chance.permille(permille) {
                    self.nodes[to]
                        .items
                        .entry(key)
                        .or_default()
                        .merge(&versions);
                }
            }
            let objects: Vec<_> = self.nodes[from].objects.clone().into_iter().collect();
            for (key, row) in objects {
                if chance.permille(permille) {
                    self.nodes[to].take_row(key, row);
                }
            }
        }
    }

    /// Whether these octets are anywhere in what is stored.
    #[must_use]
    pub(crate) fn contains(&self, octets: &[u8]) -> bool {
        let inside = |value: &Bytes| value.windows(octets.len()).any(|it| it == octets);
        self.nodes.iter().any(|node| {
            node.items.iter().any(|(key, versions)| {
                key.sort
                    .0
                    .as_bytes()
                    .windows(octets.len())
                    .any(|it| it == octets)
                    || versions.values().iter().any(inside)
            }) || node
                .objects
                .values()
                .any(|row| row.body.as_ref().is_some_and(inside))
        })
    }

    fn connected(&self, one: usize, two: usize) -> bool {
        self.up[one] && self.up[two] && (one == two || self.links[one][two])
    }

    /// A node that a server can talk to.
    fn gateway(&self, chance: &mut Chance, process: usize) -> Option<usize> {
        let mut order = chance.order(NODES).into_iter();
        order.find(|node| self.up[*node] && self.reach[process][*node])
    }

    /// Nodes that a node reaches, itself among them, in random order.
    fn reachable(&self, chance: &mut Chance, from: usize) -> Vec<usize> {
        let order = chance.order(NODES).into_iter();
        order.filter(|node| self.connected(from, *node)).collect()
    }

    fn no_stream(&mut self, now: u64, caller: Caller, kind: &str) -> Deeds {
        self.broken = Some(format!("{caller:?}: {kind} without a stream"));
        vec![(now, failure(caller, "no stream"))]
    }

    fn run(&mut self, now: u64, chance: &mut Chance, call: Call) -> Deeds {
        let caller = call.caller;
        let Some(gateway) = self.gateway(chance, caller.process) else {
            return unless(!call.answered, || {
                vec![(now + 3_000, failure(caller, "not reachable"))]
            });
        };
        match &call.request {
            StorageRequest::InsertItems(_) | StorageRequest::DeleteItems(_) => {
                self.write_items(now, chance, gateway, call)
            }
            StorageRequest::ReadItems(_)
            | StorageRequest::ReadRange(_)
            | StorageRequest::OpenObject { .. } => self.read(now, chance, gateway, call),
            StorageRequest::CreateObject { key } => {
                if call.answered && self.open.contains_key(&caller) {
                    let stream = Stream::Writing(key.clone(), Vec::new());
                    self.streams.insert(caller, stream);
                }
                self.done(now, chance, &call)
            }
            StorageRequest::FinishObject | StorageRequest::DeleteObjects(_) => {
                self.write_objects(now, chance, gateway, call)
            }
            StorageRequest::ListObjects { .. } => self.list(now, chance, gateway, &call),
            StorageRequest::PollRange { .. } => self.poll(now, chance, gateway, &call),
            StorageRequest::ReadChunk { .. } | StorageRequest::WriteChunk(_) => {
                unreachable!("steps of streams go another way")
            }
        }
    }

    fn done(&self, now: u64, chance: &mut Chance, call: &Call) -> Deeds {
        unless(!call.answered, || {
            let at = now + self.weather.delay(chance);
            vec![(at, Deed::Answer(call.caller, StorageResponse::Done))]
        })
    }
}

fn unless(condition: bool, deeds: impl FnOnce() -> Deeds) -> Deeds {
    if condition { Vec::new() } else { deeds() }
}

fn failure(caller: Caller, why: &str) -> Deed {
    let error = StorageError::Unavailable(why.to_owned());
    Deed::Answer(caller, StorageResponse::Failed(error))
}

/// What a write puts under a key.
struct Put<'a> {
    key: &'a ItemKey,
    token: Option<&'a CausalityToken>,
    value: Option<Bytes>,
}

fn puts(request: &StorageRequest) -> Vec<Put<'_>> {
    match request {
        StorageRequest::InsertItems(items) => items.iter().map(put).collect(),
        StorageRequest::DeleteItems(items) => {
            let deletion = |(key, token)| Put {
                key,
                token: Some(token),
                value: None,
            };
            items
                .iter()
                .map(|(key, token)| deletion((key, token)))
                .collect()
        }
        _ => Vec::new(),
    }
}

fn put(item: &InsertItem) -> Put<'_> {
    Put {
        key: &item.key,
        token: item.token.as_ref(),
        value: Some(item.value.clone()),
    }
}

/// A request's kind and what it is about, for the trace.
#[must_use]
pub(crate) fn describe(request: &StorageRequest) -> String {
    let what = match request {
        StorageRequest::ReadItems(keys) => format!("{} items", keys.len()),
        StorageRequest::ReadRange(range) => {
            let stretches: Vec<_> = range.stretches().collect();
            format!("{} {stretches:?}", short(&range.partition))
        }
        StorageRequest::InsertItems(items) => {
            let keys = items.iter().map(|item| &item.key);
            let keys = keys.map(|key| format!("{}/{}", short(&key.partition), key.sort));
            keys.collect::<Vec<_>>().join(" ")
        }
        StorageRequest::DeleteItems(items) => {
            let keys = items.iter().map(|(key, _)| key);
            let keys = keys.map(|key| format!("{}/{}", short(&key.partition), key.sort));
            keys.collect::<Vec<_>>().join(" ")
        }
        StorageRequest::OpenObject { key, .. } | StorageRequest::CreateObject { key } => {
            key.to_string()
        }
        StorageRequest::DeleteObjects(keys) => format!("{keys:?}"),
        _ => String::new(),
    };
    format!("{} {what}", kind(request))
}

/// A partition without the account's id.
fn short(partition: &PartitionKey) -> &str {
    let PartitionKey(name) = partition;
    match name.starts_with(BELLS) {
        true => name,
        false => name.split_once('/').map_or("", |(_, rest)| rest),
    }
}

fn kind(request: &StorageRequest) -> &'static str {
    match request {
        StorageRequest::ReadItems(_) => "ReadItems",
        StorageRequest::ReadRange(_) => "ReadRange",
        StorageRequest::InsertItems(_) => "InsertItems",
        StorageRequest::DeleteItems(_) => "DeleteItems",
        StorageRequest::PollRange { .. } => "PollRange",
        StorageRequest::ListObjects { .. } => "ListObjects",
        StorageRequest::OpenObject { .. } => "OpenObject",
        StorageRequest::ReadChunk { .. } => "ReadChunk",
        StorageRequest::CreateObject { .. } => "CreateObject",
        StorageRequest::WriteChunk(_) => "WriteChunk",
        StorageRequest::FinishObject => "FinishObject",
        StorageRequest::DeleteObjects(_) => "DeleteObjects",
    }
}
