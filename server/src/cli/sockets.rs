//! The sockets that other services find this one by.

use super::Failure;
use crate::config::{ServiceAddress, ServiceListener};
use crate::driver::service::ServiceSocket;
use std::fs::{self, Permissions};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The file of a Unix socket, which goes when this is dropped.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // If it stays, the next server finds that nobody listens behind it.
        let _stays = fs::remove_file(&self.0);
    }
}

/// A socket, and its file if it has one.
type Bound = (ServiceSocket, Option<SocketFile>);

/// Listens in all these places.
pub(super) fn bind_all(listeners: &[ServiceListener]) -> Result<Vec<Bound>, Failure> {
    listeners.iter().map(bind).collect()
}

/// Listens where the configuration says.
fn bind(listener: &ServiceListener) -> Result<Bound, Failure> {
    let fail = |error| format!("cannot listen on {}: {error}", listener.address);
    match &listener.address {
        ServiceAddress::Tcp(address) => {
            let socket = TcpListener::bind(address).map_err(fail)?;
            Ok((ServiceSocket::Tcp(socket), None))
        }
        ServiceAddress::Unix(path) => {
            remove_stale(path).map_err(fail)?;
            let socket = UnixListener::bind(path).map_err(fail)?;
            let file = SocketFile(path.clone());
            let mode = listener.mode.unwrap_or_default().0;
            fs::set_permissions(path, Permissions::from_mode(mode)).map_err(fail)?;
            Ok((ServiceSocket::Unix(socket), Some(file)))
        }
    }
}

/// Removes a socket that nobody listens behind, as a server leaves it that was killed.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mode;

    #[test]
    fn a_unix_socket_from_its_beginning_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lmtp");
        let listener = ServiceListener {
            address: ServiceAddress::Unix(path.clone()),
            mode: Some(Mode(0o600)),
        };
        let (socket, file) = bind(&listener).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = bind(&listener).unwrap_err().to_string();
        assert!(
            error.contains("unix:") && error.contains("in use"),
            "{error}"
        );
        // Killed: the file stays, and the next server takes its place.
        drop(socket);
        core::mem::forget(file);
        assert!(path.exists());
        let (socket, file) = bind(&listener).unwrap();
        drop((socket, file));
        assert!(!path.exists());
        // What is no socket is left alone.
        fs::write(&path, "something else").unwrap();
        assert!(bind(&listener).is_err());
        assert!(path.exists());
    }
}
