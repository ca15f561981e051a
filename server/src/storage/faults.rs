//! Faults on purpose, for tests: any storage, wrapped so that chosen steps fail, fail
//! although they were carried out, or wait.
//!
//! A step is one request of the core: a whole one, or one of a stream.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use event_listener::Event;
use restante_core::storage::{ObjectKey, StorageError, StorageRequest, StorageResponse};

use super::{BoxFuture, ObjectSink, ObjectSource, Opened, Storage};

/// What goes wrong with one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not carried out.
    Lost(StorageError),
    /// It is carried out, and the answer says otherwise (Garage: a failed insert may
    /// still land).
    Landed(StorageError),
}

/// A storage with faults. Clones share the plan.
#[derive(Clone)]
pub struct Faulty<S> {
    inner: Arc<S>,
    plan: Arc<Plan>,
}

#[derive(Default)]
struct Plan {
    steps: Mutex<Steps>,
    held: AtomicBool,
    released: Event,
}

#[derive(Default)]
struct Steps {
    done: u64,
    faults: BTreeMap<u64, Fault>,
}

impl<S: Storage> Faulty<S> {
    /// Without faults until told.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self {
            inner: Arc::new(inner),
            plan: Arc::default(),
        }
    }

    /// The storage behind the faults.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// How many steps there were so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.plan.lock().done
    }

    /// Makes the `nth` step from now go wrong; 0 is the next one.
    pub fn fail(&self, nth: u64, fault: Fault) {
        let mut steps = self.plan.lock();
        let at = steps.done + nth;
        steps.faults.insert(at, fault);
    }

    /// Makes every step wait from now on: a storage that is slow or gone.
    pub fn hold(&self) {
        self.plan.held.store(true, Ordering::SeqCst);
    }

    /// Lets the waiting steps go on.
    pub fn release(&self) {
        self.plan.held.store(false, Ordering::SeqCst);
        self.plan.released.notify(usize::MAX);
    }
}

impl Plan {
    fn lock(&self) -> std::sync::MutexGuard<'_, Steps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while held, counts the step and says what goes wrong with it.
    async fn enter(&self) -> Option<Fault> {
        loop {
            let released = self.released.listen();
            if !self.held.load(Ordering::SeqCst) {
                break;
            }
            released.await;
        }
        let mut steps = self.lock();
        let at = steps.done;
        steps.done += 1;
        steps.faults.remove(&at)
    }

    async fn step<T>(
        &self,
        work: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        match self.enter().await {
            None => work.await,
            Some(Fault::Lost(error)) => Err(error),
            Some(Fault::Landed(error)) => work.await.and(Err(error)),
        }
    }
}

impl<S: Storage> Storage for Faulty<S> {
    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn execute(&self, request: StorageRequest) -> BoxFuture<'static, StorageResponse> {
        let work = self.inner.execute(request);
        let plan = Arc::clone(&self.plan);
        Box::pin(async move {
            let work = async move { Ok(work.await) };
            plan.step(work)
                .await
                .unwrap_or_else(StorageResponse::Failed)
        })
    }

    fn open(
        &self,
        key: ObjectKey,
        start: u64,
        end: Option<u64>,
        max: u32,
    ) -> BoxFuture<'static, Result<Opened, StorageError>> {
        let work = self.inner.open(key, start, end, max);
        let plan = Arc::clone(&self.plan);
        Box::pin(async move {
            let opened = plan.step(work).await?;
            let inner = opened.source;
            Ok(Opened {
                source: Box::new(FaultySource { inner, plan }),
                ..opened
            })
        })
    }

    fn create(
        &self,
        key: ObjectKey,
    ) -> BoxFuture<'static, Result<Box<dyn ObjectSink>, StorageError>> {
        let work = self.inner.create(key);
        let plan = Arc::clone(&self.plan);
        Box::pin(async move {
            let inner = plan.step(work).await?;
            Ok(Box::new(FaultySink { inner, plan }) as Box<dyn ObjectSink>)
        })
    }
}

struct FaultySource {
    inner: Box<dyn ObjectSource>,
    plan: Arc<Plan>,
}

impl ObjectSource for FaultySource {
    fn read(&mut self, max: u32) -> BoxFuture<'_, Result<Bytes, StorageError>> {
        Box::pin(self.plan.step(self.inner.read(max)))
    }
}

struct FaultySink {
    inner: Box<dyn ObjectSink>,
    plan: Arc<Plan>,
}

impl ObjectSink for FaultySink {
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(self.plan.step(self.inner.write(chunk)))
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<(), StorageError>> {
        let Self { inner, plan } = *self;
        Box::pin(async move { plan.step(inner.finish()).await })
    }
}
