//! `serve`: runs a server until a signal stops it.

use super::sockets::SocketFile;
use super::storage::{close_storage, open_storage};
use super::{Failure, descriptors, logging, notify::notify, sockets};
use crate::accounts::Accounts;
use crate::accounts::file::AccountsFile;
use crate::accounts::stretch::Stretcher;
use crate::config::{Config, Listener, TlsMode};
use crate::driver::Server;
use crate::driver::http::Web;
use crate::runtime::{Runtime, Signal};
use crate::storage::Storage;
use crate::tls::Certificate;
use futures_util::future::{self, Either};
use futures_util::stream::{Stream, StreamExt};
use restante_core::config::Config as CoreConfig;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

/// Runs the server that `file` describes.
pub(super) fn serve<R: Runtime>(file: &Path) -> Result<(), Failure> {
    run::<R>(&Config::load(file)?, |_| ())
}

/// Runs a server; `ready` is told where it listens.
pub(super) fn run<R: Runtime>(
    config: &Config,
    ready: impl FnOnce(&[SocketAddr]),
) -> Result<(), Failure> {
    logging::init(&config.log)?;
    descriptors::raise_limit(config);
    let certificate = config.tls.clone().map(Certificate::load).transpose()?;
    let accounts = Arc::new(AccountsFile::new(config.accounts.file.clone()));
    // A file that makes no sense is better found now than at the first login.
    if accounts.read()?.entries().is_empty() {
        tracing::warn!(file = %accounts.path().display(), "there is no account yet");
    }
    R::run(config.threads(cores()), |runtime| async move {
        // Signals are caught before anything is open, and nobody can connect before
        // everything is.
        let mut signals = runtime.signals()?;
        let storage = open_storage(config, &runtime, &accounts).await?;
        let sockets = bind(&config.imap)?;
        let lmtp = sockets::bind_all(&config.lmtp)?;
        let auth = sockets::bind_all(&config.auth)?;
        let web = bind(&config.http)?;
        let addresses = sockets
            .iter()
            .map(TcpListener::local_addr)
            .collect::<Result<Vec<_>, _>>()?;
        let server = start(
            runtime.clone(),
            Arc::clone(&storage),
            accounts,
            certificate,
            config,
        )?;
        let https = config.http.iter().any(|it| it.tls == TlsMode::Implicit);
        let answers = Web::new(config.service(), config.http_limits(), https);
        for (socket, listener) in web.into_iter().zip(&config.http) {
            server.listen_http(socket, listener, Arc::clone(&answers))?;
        }
        for (socket, listener) in sockets.into_iter().zip(&config.imap) {
            server.listen(socket, listener, config.core(listener))?;
        }
        let names = Arc::new(config.delivery.addresses());
        let mut files = Vec::new();
        for (socket, file) in lmtp {
            server.listen_lmtp(socket, config.core_for_lmtp(), Arc::clone(&names))?;
            files.extend(file);
        }
        for (socket, file) in auth {
            server.listen_auth(socket, CoreConfig::default())?;
            files.extend(file);
        }
        ready(&addresses);
        notify("READY=1");
        let stopped = until_stopped(&server, files, &mut signals).await;
        drop(server);
        if stopped.is_ok() {
            close_storage(&runtime, storage).await;
            tracing::info!("stopped");
        }
        stopped
    })?
}

/// Cores that this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn start<R: Runtime>(
    runtime: R,
    storage: Arc<dyn Storage>,
    accounts: Arc<AccountsFile>,
    certificate: Option<Certificate>,
    config: &Config,
) -> Result<Arc<Server<R>>, Failure> {
    let argon2 = &config.argon2;
    let stretcher = Stretcher::new(
        runtime.clone(),
        argon2.checking_bytes_max,
        cores(),
        argon2.waiting_max,
    );
    let accounts = Accounts::new(runtime.clone(), accounts, argon2.params()?, stretcher);
    Ok(Server::new(
        runtime,
        storage,
        accounts,
        certificate,
        config.core_for_accounts(),
        &config.limits,
    ))
}

async fn until_stopped<R: Runtime>(
    server: &Arc<Server<R>>,
    files: Vec<SocketFile>,
    signals: &mut (impl Stream<Item = Signal> + Unpin),
) -> Result<(), Failure> {
    while let Some(Signal::Reload) = signals.next().await {
        server.reload();
    }
    tracing::info!("stopping");
    notify("STOPPING=1");
    // While somebody still listens behind them: a server that is started meanwhile would put
    // its own in the place of those that nobody does.
    drop(files);
    let again = signals.filter(|signal| future::ready(*signal == Signal::Stop));
    let again = pin!(again.into_future());
    match future::select(pin!(server.stop()), again).await {
        Either::Left(((), _)) => Ok(()),
        Either::Right(_) => Err("a second signal ended the server at once".into()),
    }
}

fn bind(listeners: &[Listener]) -> Result<Vec<TcpListener>, Failure> {
    let sockets = listeners.iter().map(|listener| {
        let address = listener.address;
        TcpListener::bind(address)
            .map_err(|error| format!("cannot listen on {address}: {error}").into())
    });
    sockets.collect()
}
