//! A deliverer beside a server under test: it works on the same Garage and the same
//! accounts file, as another process would, on the runtime that the server runs on.

use std::{io, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use futures_util::{future::join_all, io::Cursor};
use restante_core::config::Config as CoreConfig;
use restante_server::{
    accounts::{Accounts, file::AccountsFile, stretch::Stretcher},
    config::Config,
    driver::{self, delivery::Deliverer},
    runtime::{self, Runtime},
    storage::garage::Garage,
};
use restante_tests::{Flavour, Server};

pub(crate) use restante_server::driver::delivery::DeliverError;

#[path = "../../../runtime-smol/src/runtime.rs"]
mod on_smol;
#[path = "../../../runtime-tokio/src/runtime.rs"]
mod on_tokio;

/// A lane that goes on at once after a refusal would only count failures.
const PAUSE: Duration = Duration::from_millis(20);

/// Where messages come from, and who is told what became of them.
pub(crate) trait Post: Send + Sync + 'static {
    /// The next message, as long as there is one.
    fn next(&self) -> Option<Vec<u8>>;
    /// What became of it.
    fn outcome(&self, message: Vec<u8>, outcome: Result<(), DeliverError>);
}

/// Delivers all messages to the account of this name, as many at a time as there are
/// lanes.
pub(crate) fn deliver(server: &Server, name: &str, lanes: NonZeroUsize, post: &Arc<impl Post>) {
    let config = server.folder().join("restante.toml");
    let done = match server.flavour {
        Flavour::Smol => run::<on_smol::Smol>(config, name, lanes, post),
        _ => run::<on_tokio::Tokio>(config, name, lanes, post),
    };
    done.expect("the runtime starts");
}

fn run<R: Runtime>(
    config: PathBuf,
    name: &str,
    lanes: NonZeroUsize,
    post: &Arc<impl Post>,
) -> io::Result<()> {
    let config = Config::load(&config).expect("the server reads it too");
    R::run(2, |runtime| async move {
        let server = open(&runtime, &config).await;
        let file = AccountsFile::new(config.accounts.file.clone());
        let recipient = accounts(&runtime, &config, file).recipient(name).await;
        let recipient = recipient.expect("there is such an account");
        let deliverer = Arc::new(Deliverer::new(Arc::clone(&server)));
        let lanes = (0..lanes.get()).map(|_| {
            let (deliverer, post) = (Arc::clone(&deliverer), Arc::clone(post));
            let timer = runtime.clone();
            let lane = async move {
                while let Some(message) = post.next() {
                    let octets = Cursor::new(&message);
                    let outcome = deliverer.deliver(recipient, Vec::new(), octets).await;
                    let refused = outcome.is_err();
                    post.outcome(message, outcome);
                    if refused {
                        runtime::sleep(&timer, PAUSE).await;
                    }
                }
            };
            spawn(&runtime, lane)
        });
        join_all(lanes).await;
        // So that the account is told before the runtime ends.
        server.stop().await;
    })
}

/// Runs a lane on any thread; what is returned waits for its end.
fn spawn<R: Runtime>(
    runtime: &R,
    lane: impl Future<Output = ()> + Send + 'static,
) -> impl Future<Output = ()> {
    let (lane, end) = futures_util::future::FutureExt::remote_handle(lane);
    runtime.spawn(lane);
    end
}

/// A server that listens to nobody.
async fn open<R: Runtime>(runtime: &R, config: &Config) -> Arc<driver::Server<R>> {
    let garage = config.storage.garage().expect("the storage is Garage");
    let file = Arc::new(AccountsFile::new(config.accounts.file.clone()));
    let storage = Garage::open(runtime.clone(), garage, Some(Arc::clone(&file)));
    let storage = storage.await.expect("Garage takes the key");
    driver::Server::new(
        runtime.clone(),
        Arc::new(storage),
        accounts(runtime, config, file),
        None,
        CoreConfig::default(),
        &config.limits,
    )
}

fn accounts<R: Runtime>(
    runtime: &R,
    config: &Config,
    file: impl Into<Arc<AccountsFile>>,
) -> Accounts<R> {
    let argon2 = &config.argon2;
    let params = argon2.params().expect("the server takes them");
    let stretcher = Stretcher::new(runtime.clone(), argon2.checking_bytes_max, 1);
    Accounts::new(runtime.clone(), file, params, stretcher)
}
