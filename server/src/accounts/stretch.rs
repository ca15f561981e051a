//! Argon2id within bounds: on the threads for blocking work, with at most so many
//! octets of memory at once and so many logins waiting for it. More at once than there are
//! cores would take memory and gain no time.
//!
//! The memory of one computation is used for the next one while logins wait, and is
//! given back to the system when none does.

use super::memory::Memory;
use crate::runtime::Runtime;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use futures_channel::oneshot;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// Octets of a stretched password.
pub const STRETCHED_BYTES: usize = 32;
/// Octets of a salt (RFC 9106 §3.1 recommends 16).
pub const SALT_BYTES: usize = 16;

/// A stretched password: the key that opens a slot.
pub type Stretched = Zeroizing<[u8; STRETCHED_BYTES]>;

/// Why a password could not be stretched.
#[derive(Debug)]
pub enum StretchError {
    /// Too many logins wait already.
    Busy,
    /// The operating system has no memory to give.
    Memory(io::Error),
}

impl fmt::Display for StretchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("too many logins at once"),
            Self::Memory(error) => write!(f, "no memory for Argon2: {error}"),
        }
    }
}

impl std::error::Error for StretchError {}

/// Stretches passwords for a whole server.
pub struct Stretcher<R> {
    runtime: R,
    gate: Arc<Gate>,
    /// What was computed, for tests that compare work instead of time.
    #[cfg(test)]
    pub(super) asked: Mutex<Vec<Params>>,
}

impl<R: Runtime> Stretcher<R> {
    /// Uses at most `bytes_max` octets at once (but for a password that needs more by itself, which is
    /// checked alone), on at most `cores` cores (one at least), with
    /// at most `waiting_max` logins waiting.
    pub fn new(runtime: R, bytes_max: usize, cores: usize, waiting_max: usize) -> Self {
        let gate = Arc::new(Gate::new(bytes_max, cores.max(1), waiting_max));
        Self {
            runtime,
            gate,
            #[cfg(test)]
            asked: Mutex::default(),
        }
    }

    /// Waits until a password with these parameters may be stretched.
    ///
    /// # Errors
    /// When too many logins wait.
    pub(super) async fn admit(&self, params: &Params) -> Result<Permit, StretchError> {
        let permit = Gate::enter(&self.gate, params.block_count() * Block::SIZE)?.await;
        permit.map_err(|oneshot::Canceled| StretchError::Busy)
    }

    /// Stretches a password; `permit` is for parameters like these, and comes back: until it is
    /// dropped, nobody else comes in for it.
    ///
    /// # Errors
    /// When there is not enough memory.
    pub(super) async fn stretch(
        &self,
        permit: Permit,
        params: Params,
        salt: Vec<u8>,
        password: Zeroizing<String>,
    ) -> Result<(Stretched, Permit), StretchError> {
        let blocks = params.block_count();
        #[cfg(test)]
        self.asked.lock().unwrap().push(params.clone());
        let work = move || {
            let mut memory = permit.memory(blocks).map_err(StretchError::Memory)?;
            let stretched = stretch_in(&params, &salt, password.as_bytes(), memory.blocks());
            permit.give_back(memory);
            Ok((stretched, permit))
        };
        self.runtime.blocking(work).await
    }
}

/// Stretches a password on this thread, for the command line.
///
/// # Errors
/// When there is not enough memory.
pub fn stretch(params: &Params, salt: &[u8], password: &str) -> Result<Stretched, StretchError> {
    let mut memory = Memory::new(params.block_count()).map_err(StretchError::Memory)?;
    Ok(stretch_in(
        params,
        salt,
        password.as_bytes(),
        memory.blocks(),
    ))
}

fn stretch_in(params: &Params, salt: &[u8], password: &[u8], blocks: &mut [Block]) -> Stretched {
    let mut stretched = Zeroizing::new([0; STRETCHED_BYTES]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into_with_memory(password, salt, &mut *stretched, blocks)
        .expect("the salt was made or checked to be long enough, the password is below 4 GiB");
    stretched
}

/// A semaphore that counts octets and cores; first come, first served.
struct Gate {
    bytes_max: usize,
    waiting_max: usize,
    state: Mutex<GateState>,
}

struct GateState {
    free_bytes: usize,
    free_cores: usize,
    waiting: VecDeque<(usize, oneshot::Sender<Permit>)>,
    /// Not in use at the moment; kept only while somebody waits.
    unused: Vec<Memory>,
}

/// The right to use some octets and a core, until it is dropped.
pub(super) struct Permit {
    gate: Arc<Gate>,
    bytes: usize,
}

impl Gate {
    fn new(bytes_max: usize, cores: usize, waiting_max: usize) -> Self {
        Self {
            bytes_max,
            waiting_max,
            state: Mutex::new(GateState {
                free_bytes: bytes_max,
                free_cores: cores,
                waiting: VecDeque::new(),
                unused: Vec::new(),
            }),
        }
    }

    fn enter(gate: &Arc<Self>, bytes: usize) -> Result<oneshot::Receiver<Permit>, StretchError> {
        // Who needs more than all may have takes all of it, and goes in alone: its password was
        // set when there was more, and must open the account all the same.
        let bytes = bytes.min(gate.bytes_max);
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = gate.lock();
            // Those who gave up in the meantime take no place.
            if state.waiting.len() >= gate.waiting_max {
                state.waiting.retain(|(_, waiting)| !waiting.is_canceled());
            }
            if state.waiting.len() >= gate.waiting_max {
                return Err(StretchError::Busy);
            }
            state.waiting.push_back((bytes, sender));
        }
        gate.admit();
        Ok(receiver)
    }

    /// Lets in whoever is first and finds room.
    fn admit(self: &Arc<Self>) {
        loop {
            let mut state = self.lock();
            match state.waiting.front() {
                Some((_, sender)) if sender.is_canceled() => drop(state.waiting.pop_front()),
                Some((bytes, _)) if *bytes <= state.free_bytes && state.free_cores > 0 => {
                    let Some((bytes, sender)) = state.waiting.pop_front() else {
                        return;
                    };
                    state.free_bytes -= bytes;
                    state.free_cores -= 1;
                    drop(state);
                    let gate = Arc::clone(self);
                    // Who gave up just now drops the permit, which admits the next.
                    drop(sender.send(Permit { gate, bytes }));
                }
                _ => return,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    fn memory(&self, blocks: usize) -> io::Result<Memory> {
        let mut state = self.gate.lock();
        match state.unused.pop() {
            Some(memory) if memory.len() == blocks => Ok(memory),
            other => {
                // Beside memory of another length it would be more than all may have.
                let unused = std::mem::take(&mut state.unused);
                drop(state);
                drop((unused, other));
                Memory::new(blocks)
            }
        }
    }

    fn give_back(&self, mut memory: Memory) {
        memory.clear();
        let mut state = self.gate.lock();
        if state.waiting.is_empty() {
            let unused = std::mem::take(&mut state.unused);
            drop(state);
            drop((unused, memory));
        } else {
            state.unused.push(memory);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        {
            let mut state = self.gate.lock();
            state.free_bytes += self.bytes;
            state.free_cores += 1;
        }
        self.gate.admit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn gate(bytes_max: usize, waiting_max: usize) -> Arc<Gate> {
        Arc::new(Gate::new(bytes_max, 3, waiting_max))
    }

    fn entered(receiver: &mut oneshot::Receiver<Permit>) -> Option<Permit> {
        receiver.now_or_never().map(Result::unwrap)
    }

    #[test]
    fn memory_is_shared_first_come_first_served() {
        let gate = gate(100, 10);
        let mut receivers: Vec<_> = [60, 60, 30]
            .map(|bytes| Gate::enter(&gate, bytes).unwrap())
            .into();
        let first = entered(&mut receivers[0]).expect("there is room");
        assert!(entered(&mut receivers[1]).is_none());
        assert!(entered(&mut receivers[2]).is_none(), "overtook the second");
        drop(first);
        let second = entered(&mut receivers[1]).expect("there is room");
        let third = entered(&mut receivers[2]).expect("there is room");
        drop((second, third));
        assert_eq!(gate.lock().free_bytes, 100);
    }

    #[test]
    fn no_more_are_in_than_there_are_cores() {
        let gate = gate(100, 10);
        let mut receivers: Vec<_> = [1; 5]
            .map(|bytes| Gate::enter(&gate, bytes).unwrap())
            .into();
        let inside: Vec<_> = receivers.iter_mut().filter_map(entered).collect();
        assert_eq!(inside.len(), 3);
        drop(inside);
        let inside: Vec<_> = receivers[3..].iter_mut().filter_map(entered).collect();
        assert_eq!(inside.len(), 2);
        drop(inside);
        let state = gate.lock();
        assert_eq!((state.free_bytes, state.free_cores), (100, 3));
    }

    #[test]
    fn those_who_give_up_hold_nobody_up() {
        let gate = gate(100, 10);
        let mut first = Gate::enter(&gate, 100).unwrap();
        let permit = entered(&mut first);
        let gone = Gate::enter(&gate, 100).unwrap();
        let mut third = Gate::enter(&gate, 100).unwrap();
        drop(gone);
        drop(permit);
        drop(entered(&mut third).expect("there is room"));
        // Given a permit, but gone before taking it.
        drop(Gate::enter(&gate, 100).unwrap());
        assert_eq!(gate.lock().free_bytes, 100);
    }

    #[test]
    fn queue_is_bounded() {
        let gate = gate(100, 2);
        let _inside = Gate::enter(&gate, 100).unwrap();
        let _waiting = [(); 2].map(|()| Gate::enter(&gate, 1).unwrap());
        assert!(Gate::enter(&gate, 1).is_err());
        assert!(Gate::enter(&gate, 101).is_err(), "however much it needs");
    }

    #[test]
    fn memory_is_kept_only_while_somebody_waits() {
        let gate = gate(100, 10);
        let mut first = Gate::enter(&gate, 100).unwrap();
        let mut second = Gate::enter(&gate, 100).unwrap();
        let permit = entered(&mut first).expect("there is room");
        let memory = permit.memory(8).unwrap();
        permit.give_back(memory);
        drop(permit);
        assert_eq!(gate.lock().unused.len(), 1);
        let permit = entered(&mut second).expect("there is room");
        let memory = permit.memory(8).unwrap();
        assert!(gate.lock().unused.is_empty());
        permit.give_back(memory);
        drop(permit);
        assert!(gate.lock().unused.is_empty());
    }

    #[test]
    fn who_needs_more_than_there_is_goes_in_alone() {
        let gate = gate(100, 10);
        let mut first = Gate::enter(&gate, 1).unwrap();
        let mut large = Gate::enter(&gate, 1_000).unwrap();
        let mut last = Gate::enter(&gate, 1).unwrap();
        let permit = entered(&mut first).expect("there is room");
        assert!(entered(&mut large).is_none(), "beside another one");
        drop(permit);
        let permit = entered(&mut large).expect("there is room");
        assert!(entered(&mut last).is_none(), "beside another one");
        drop(permit);
        drop(entered(&mut last).expect("there is room"));
        assert_eq!(gate.lock().free_bytes, 100);
    }

    #[test]
    fn memory_of_another_length_is_not_kept_beside_that_in_use() {
        let gate = gate(100, 10);
        let mut receivers = [25; 3].map(|bytes| Gate::enter(&gate, bytes).unwrap());
        let permits = receivers.each_mut().map(|it| entered(it).unwrap());
        let _inside = Gate::enter(&gate, 25).unwrap();
        let _waiting = Gate::enter(&gate, 100).unwrap();
        let memories = permits.each_ref().map(|permit| permit.memory(8).unwrap());
        for (permit, memory) in permits.into_iter().zip(memories) {
            permit.give_back(memory);
            drop(permit);
        }
        let mut next = Gate::enter(&gate, 1).unwrap();
        drop((_inside, _waiting));
        let permit = entered(&mut next).expect("there is room");
        assert_eq!(gate.lock().unused.len(), 3);
        drop(permit.memory(9).unwrap());
        assert!(gate.lock().unused.is_empty());
    }

    #[test]
    fn same_password_gives_same_key() {
        let params = Params::new(64, 1, 1, Some(STRETCHED_BYTES)).unwrap();
        let salt = [7; SALT_BYTES];
        let stretched = |password| stretch(&params, &salt, password).unwrap();
        assert_eq!(stretched("a"), stretched("a"));
        assert_ne!(stretched("a"), stretched("b"));
        // Against the crate's own way, so that where the blocks are makes no difference.
        let mut expected = [0; STRETCHED_BYTES];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
            .hash_password_into(b"a", &salt, &mut expected)
            .unwrap();
        assert_eq!(*stretched("a"), expected);
    }
}
