//! A server process: the real machines of the core, and the little that a driver does
//! around them. Between its tasks messages keep their order; when each comes is chance.
//! `account.rs`, `line.rs`, `post.rs` and `doorbell.rs` are its tasks.

use crate::account::Task;
use crate::chance::Chance;
use crate::doorbell::Bell;
use crate::garage::{Caller, describe};
use crate::line::Line;
use crate::post::Post;
use crate::world::{Event, SECOND, World};
use restante_core::account::AccountInput;
use restante_core::boundary::Input;
use restante_core::storage::{RequestId, StorageRequest, StorageResponse};
use restante_core::time::{Instant, Now};
use std::collections::BTreeMap;

/// 2026-09, when all clocks were right.
const EPOCH_MS: i64 = 1_790_000_000_000;
/// One server.
pub(crate) struct Process {
    pub(crate) up: bool,
    pub(crate) life: u64,
    /// How far its clock is off, in milliseconds.
    pub(crate) offset_ms: i64,
    pub(crate) account: Task,
    pub(crate) connections: BTreeMap<u64, Line>,
    pub(crate) post: Post,
    pub(crate) bell: Bell,
    /// The last machine's number.
    machines: u64,
    /// It stops as soon as everybody is done.
    stopping: bool,
    /// Nothing reaches it before.
    pub(crate) still_until: u64,
    /// How long its clock stood still in all, in microseconds.
    pub(crate) still_us: u64,
}

impl Process {
    pub(crate) fn new(chance: &mut Chance) -> Self {
        let hour = 3_600_000_i64;
        let offset_ms = match chance.below(3) {
            0 => 0,
            1 => chance.below(10_000) as i64 - 5_000,
            _ => chance.below(12 * hour as u64) as i64 - 6 * hour,
        };
        Self {
            up: true,
            life: 0,
            offset_ms,
            account: Task::default(),
            connections: BTreeMap::new(),
            post: Post::default(),
            bell: Bell::default(),
            machines: 0,
            stopping: false,
            still_until: 0,
            still_us: 0,
        }
    }

    /// Whether messages may come.
    pub(crate) fn accepts(&self) -> bool {
        self.up && !self.stopping
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.machines += 1;
        self.machines
    }
}

impl World {
    pub(crate) fn time(&self, process: usize) -> Now {
        let unix = EPOCH_MS + (self.now / 1_000) as i64 + self.processes[process].offset_ms;
        Now {
            instant: Instant(self.now - self.processes[process].still_us),
            unix_ms: u64::try_from(unix).unwrap_or(0),
        }
    }

    /// The server dies where it stands.
    pub(crate) fn crash(&mut self, process: usize) {
        self.note(format_args!("server {process} dies"));
        self.end_process(process);
        let at = self.now + self.chance.between(1, 5 * SECOND);
        let life = self.processes[process].life;
        self.at(at, Event::Start(process, life));
    }

    fn end_process(&mut self, process: usize) {
        let it = &mut self.processes[process];
        it.up = false;
        it.life += 1;
        it.account = Task::default();
        it.post = Post::default();
        it.bell = Bell::default();
        it.stopping = false;
        // The next one counts from another moment.
        (it.still_until, it.still_us) = (0, 0);
        let lines = core::mem::take(&mut it.connections);
        self.garage.forget_server(process);
        self.jobs_end(process);
        for line in lines.into_values() {
            let at = line.sent.max(self.soon());
            self.at(at, Event::ToClient(line.client, line.session, Vec::new()));
        }
    }

    pub(crate) fn start(&mut self, process: usize) {
        self.note(format_args!("server {process} starts"));
        self.processes[process].up = true;
        self.start_doorbell(process);
    }

    /// The server is asked to stop, and starts again.
    pub(crate) fn shut_down(&mut self, process: usize) {
        if !self.processes[process].up || self.stands_still(process) {
            return;
        }
        self.note(format_args!("server {process} shuts down"));
        self.processes[process].stopping = true;
        let lines: Vec<u64> = self.processes[process]
            .connections
            .keys()
            .copied()
            .collect();
        for line in lines {
            self.line_input(process, line, |_| Input::Shutdown);
        }
        // Whoever is not done by then is cut off.
        let (life, limit) = (self.processes[process].life, 5 * SECOND);
        let at = self.now + self.chance.between(SECOND / 100, limit);
        self.at(at, Event::Wake(process, life, 0));
    }

    /// Hours are seconds where days are minutes.
    pub(crate) fn clock_offset(&self, offset_ms: i64) -> i64 {
        match self.collects {
            true => offset_ms / 3_600,
            false => offset_ms,
        }
    }

    pub(crate) fn jump_clock(&mut self, process: usize) {
        let hours = self.chance.below(10) as i64 - 5;
        let offset = hours * 3_600_000 + self.chance.below(60_000) as i64;
        let offset = self.clock_offset(offset);
        self.processes[process].offset_ms = offset;
        self.note(format_args!(
            "the clock of server {process} is {offset} ms off"
        ));
    }

    /// A deadline of a machine may have come; machine 0 is the process itself.
    pub(crate) fn wake(&mut self, process: usize, machine: u64) {
        let instant = self.time(process).instant;
        if machine == 0 {
            if self.processes[process].stopping {
                self.note(format_args!("server {process} stops"));
                self.end_doorbell(process);
                self.end_process(process);
                self.start(process);
            }
            return;
        }
        if let Some(line) = self.processes[process].connections.get(&machine) {
            if line.deadline.is_some_and(|at| at <= instant) {
                self.line_input(process, machine, |line| {
                    // The next one may be at this very moment.
                    line.deadline = None;
                    Input::Timeout
                });
            }
            return;
        }
        let it = &self.processes[process];
        if it.account.machine() == Some(machine) {
            self.wake_account(process);
        } else if it.bell.machine() == Some(machine) {
            self.wake_doorbell(process);
        } else {
            self.wake_delivery(process, machine);
        }
    }

    /// An answer of storage reaches a machine.
    pub(crate) fn storage_answer(&mut self, caller: Caller, response: StorageResponse) {
        let Caller {
            process,
            machine,
            request,
            ..
        } = caller;
        let failed = match &response {
            StorageResponse::Failed(error) => error.to_string(),
            StorageResponse::Range { items, next } => {
                format!("{} items, next {next:?}", items.len())
            }
            _ => "done".to_owned(),
        };
        self.note(format_args!("{process}/{machine} #{}: {failed}", request.0));
        if self.processes[process].connections.contains_key(&machine) {
            self.line_input(process, machine, |_| Input::Storage(request, response));
            return;
        }
        if self.processes[process].account.machine() == Some(machine) {
            self.account_input(process, AccountInput::Storage(request, response));
            return;
        }
        if self.processes[process].bell.machine() == Some(machine) {
            return self.doorbell_answer(process, request, response);
        }
        self.delivery_answer(process, machine, request, response);
    }

    pub(crate) fn ask_storage(
        &mut self,
        process: usize,
        machine: u64,
        id: RequestId,
        wanted: StorageRequest,
    ) {
        let caller = self.caller(process, machine, id);
        self.note(format_args!(
            "{process}/{machine} #{}: {}",
            id.0,
            describe(&wanted)
        ));
        let deeds = self
            .garage
            .request(self.now, &mut self.chance, caller, wanted);
        self.schedule(deeds);
    }

    pub(crate) fn caller(&self, process: usize, machine: u64, request: RequestId) -> Caller {
        let life = self.processes[process].life;
        Caller {
            process,
            life,
            machine,
            request,
        }
    }
}
