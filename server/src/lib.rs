//! What both binaries of Restante share and what is not pure.

pub mod storage;
