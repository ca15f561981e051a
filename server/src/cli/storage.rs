//! The storage that a command works on: opened as the configuration says, and closed so
//! that the next one can have it.

use super::Failure;
use crate::accounts::file::AccountsFile;
use crate::config::{Config, StorageKind};
use crate::runtime::{self, Runtime};
use crate::storage::embedded::{Embedded, EmbeddedConfig};
use crate::storage::garage::Garage;
use crate::storage::{Sleeper, Storage};
use std::sync::Arc;
use std::time::Duration;

/// How often a stopping server looks whether storage is free of its tasks.
const CLOSE_POLL: Duration = Duration::from_millis(10);
/// How many times it looks.
const CLOSE_POLLS: usize = 100;

/// Opens the folder or the cluster where mail is kept; waits for nobody else who has the
/// folder open.
pub(super) async fn open_storage<R: Runtime>(
    config: &Config,
    runtime: &R,
    accounts: &Arc<AccountsFile>,
) -> Result<Arc<dyn Storage>, Failure> {
    if config.storage.kind == StorageKind::Garage {
        let garage = config.storage.garage()?;
        let accounts = Some(Arc::clone(accounts));
        return Ok(Arc::new(
            Garage::open(runtime.clone(), garage, accounts).await?,
        ));
    }
    let folder = config.storage.folder.clone();
    let folder = folder.ok_or("storage.folder: the embedded storage needs a folder")?;
    let sleeper = sleeper(runtime);
    let open = move || Embedded::open(&folder, EmbeddedConfig::default(), sleeper);
    Ok(Arc::new(runtime.blocking(open).await?))
}

fn sleeper<R: Runtime>(runtime: &R) -> Sleeper {
    let runtime = runtime.clone();
    Arc::new(move |duration| {
        let runtime = runtime.clone();
        Box::pin(async move { runtime::sleep(&runtime, duration).await })
    })
}

/// Waits until storage has written everything and gives its folder free. Tasks that were
/// left behind may still hold it; what they were told is durable without that.
pub(super) async fn close_storage<R: Runtime>(runtime: &R, mut storage: Arc<dyn Storage>) {
    for _ in 0..CLOSE_POLLS {
        match Arc::get_mut(&mut storage) {
            Some(_) => return runtime.blocking(move || drop(storage)).await,
            None => runtime::sleep(runtime, CLOSE_POLL).await,
        }
    }
    tracing::warn!("storage is still in use");
}
