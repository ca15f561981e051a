//! The account machine against a storage in memory.

mod checkpoints;
mod deciding;
mod delivery;
mod faults;
mod large;
mod moving;
mod newer;
mod rename;
mod requests;
mod reserve;
mod resync;
mod ringing;
mod shutdown;
mod torn;
mod upkeep;
mod verify;
mod world;
