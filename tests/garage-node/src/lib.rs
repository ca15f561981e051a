//! Real Garage for tests.
//!
//! A [`Node`] is a Garage process of its own on loopback ports, with its data in a
//! temporary folder; a [`Cluster`] is three of them that hold each value three
//! times; [`Node::bucket`] makes a fresh bucket and the key to it. A [`Proxy`] stands
//! between a server and a node and plays the faults of a network. Whatever was
//! started is killed and removed when the value is dropped, and also when the test
//! process dies.
//!
//! The `garage` executable is found or installed by [`executable`].

mod admin;
mod cluster;
mod executable;
mod guard;
mod node;
mod ports;
mod process;
mod proxy;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use cluster::Cluster;
pub use executable::executable;
pub use guard::Guard;
pub use node::{Bucket, Node};
pub use ports::unused_port;
pub use proxy::{Mode, Proxy};

/// How long a node may take to do what it is asked on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The region that the nodes say they are in.
pub const REGION: &str = "garage";
