//! One Garage node, and the buckets on it.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{PATIENCE, REGION, admin, ports::unused_port, process::Process};

/// Shared by all nodes of a cluster, which are those of one test.
const RPC_SECRET: &str = "1799bccfd7411eddcf9ebd316bc1f5287ad12a68094e1c6ac6abde7e6feae1ec";

/// A Garage process. When it is dropped, its process is killed and its folder removed.
pub struct Node {
    process: Process,
    s3: SocketAddr,
    k2v: SocketAddr,
    rpc: SocketAddr,
    admin: SocketAddr,
}

/// A bucket and a key that may do everything in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name, unique in the test process.
    pub name: String,
    /// The access key.
    pub key_id: String,
    /// The secret key.
    pub secret: String,
    /// Where its objects are.
    pub s3: SocketAddr,
    /// Where its items are.
    pub k2v: SocketAddr,
}

impl Bucket {
    /// The endpoint of S3.
    pub fn s3_url(&self) -> String {
        format!("http://{}", self.s3)
    }

    /// The endpoint of K2V.
    pub fn k2v_url(&self) -> String {
        format!("http://{}", self.k2v)
    }
}

impl Node {
    /// Starts a node that is a cluster by itself.
    ///
    /// # Errors
    /// Why there is no executable, or the log of a node that does not come up.
    pub fn start() -> Result<Self, String> {
        let node = Self::new(1)?;
        node.begin(&["--single-node"])?;
        node.wait_until_ready()?;
        Ok(node)
    }

    /// A node for all tests of this process that only need a bucket. It ends with the
    /// process.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Result<Node, String>> = OnceLock::new();
        match SHARED.get_or_init(Self::start) {
            Ok(node) => node,
            Err(why) => panic!("{why}"),
        }
    }

    /// A fresh bucket with a key.
    ///
    /// # Panics
    /// When the node refuses.
    pub fn bucket(&self) -> Bucket {
        let begin = Instant::now();
        loop {
            match self.new_bucket() {
                Ok(bucket) => return bucket,
                // The nodes of a cluster that has just begun may not have found each other.
                Err(why) if why.contains("status 503") && begin.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(why) => panic!("{why}"),
            }
        }
    }

    fn new_bucket(&self) -> Result<Bucket, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("bucket-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let bucket = self.call("CreateBucket", &format!("{{\"globalAlias\":\"{name}\"}}"))?;
        let id = admin::field(&bucket, "id").ok_or("a bucket without id")?;
        let (key_id, secret) = self.new_key(&name)?;
        self.call(
            "AllowBucketKey",
            &format!(
                "{{\"bucketId\":\"{id}\",\"accessKeyId\":\"{key_id}\",\
                 \"permissions\":{{\"read\":true,\"write\":true,\"owner\":true}}}}"
            ),
        )?;
        Ok(Bucket {
            name,
            key_id,
            secret,
            s3: self.s3,
            k2v: self.k2v,
        })
    }

    /// A bucket of the cluster that the node is in, spoken to through this node.
    #[must_use]
    pub fn reached_here(&self, bucket: &Bucket) -> Bucket {
        Bucket {
            s3: self.s3,
            k2v: self.k2v,
            ..bucket.clone()
        }
    }

    /// A key, as id and secret, that may do nothing yet.
    fn new_key(&self, name: &str) -> Result<(String, String), String> {
        let key = self.call("CreateKey", &format!("{{\"name\":\"{name}\"}}"))?;
        let text = |name| admin::field(&key, name).map(str::to_owned);
        text("accessKeyId")
            .zip(text("secretAccessKey"))
            .ok_or_else(|| "a key without its parts".to_owned())
    }

    /// An access key and its secret that are valid but open no bucket.
    ///
    /// # Panics
    /// When the node refuses.
    pub fn powerless_key(&self) -> (String, String) {
        self.new_key("powerless")
            .unwrap_or_else(|why| panic!("{why}"))
    }

    /// An access key and its secret that may read this bucket and do nothing else.
    ///
    /// # Panics
    /// When the node refuses.
    pub fn reading_key(&self, bucket: &Bucket) -> (String, String) {
        let allowed = self.new_key("reading").and_then(|(key_id, secret)| {
            let info = self.call(&format!("GetBucketInfo?globalAlias={}", bucket.name), "")?;
            let id = admin::field(&info, "id").ok_or("a bucket without id")?;
            let rights = "{\"read\":true,\"write\":false,\"owner\":false}";
            self.call(
                "AllowBucketKey",
                &format!(
                    "{{\"bucketId\":\"{id}\",\"accessKeyId\":\"{key_id}\",\
                     \"permissions\":{rights}}}"
                ),
            )?;
            Ok((key_id, secret))
        });
        allowed.unwrap_or_else(|why| panic!("{why}"))
    }

    /// Where the node listens for S3.
    pub fn s3(&self) -> SocketAddr {
        self.s3
    }

    /// Where the node listens for K2V.
    pub fn k2v(&self) -> SocketAddr {
        self.k2v
    }

    /// The folder with everything it stores, in `meta` and `data`.
    pub fn folder(&self) -> &Path {
        self.process.folder()
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Kills the process (SIGKILL) and waits until it is gone.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Asks the process to end (SIGINT, as Garage wants it) and waits for it.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&self) {
        self.process.signal("INT");
        let begin = Instant::now();
        while self.process.is_running() {
            assert!(
                begin.elapsed() < PATIENCE,
                "the node does not stop\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        self.process.forget_ended();
    }

    /// Starts the process again on the same folder and ports, and waits until it serves.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_again(&self) {
        self.begin(&[])
            .and_then(|()| self.wait_until_ready())
            .unwrap_or_else(|why| panic!("{why}"));
    }

    /// Stops the process in its tracks (SIGSTOP): it is there and does not answer.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn pause(&self) {
        self.process.signal("STOP");
        // Its threads stop one after the other.
        let begin = Instant::now();
        while !self.process.is_stopped() {
            assert!(begin.elapsed() < PATIENCE, "it does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets a paused process go on.
    pub fn resume(&self) {
        self.process.signal("CONT");
    }

    /// A node with its configuration written, one of so many that hold each value.
    pub(crate) fn new(replication_factor: usize) -> Result<Self, String> {
        let process = Process::new()?;
        let [s3, k2v, rpc, admin] = std::array::from_fn(|_| unused_port());
        let folder = process.folder().display();
        let token = admin::TOKEN;
        let configuration = format!(
            "metadata_dir = \"{folder}/meta\"\ndata_dir = \"{folder}/data\"\n\
             db_engine = \"lmdb\"\nreplication_factor = {replication_factor}\n\
             compression_level = \"none\"\n\
             rpc_bind_addr = \"{rpc}\"\nrpc_public_addr = \"{rpc}\"\n\
             rpc_secret = \"{RPC_SECRET}\"\n\
             [s3_api]\ns3_region = \"{REGION}\"\napi_bind_addr = \"{s3}\"\n\
             [k2v_api]\napi_bind_addr = \"{k2v}\"\n\
             [admin]\napi_bind_addr = \"{admin}\"\nadmin_token = \"{token}\"\n"
        );
        fs::write(process.folder().join("garage.toml"), configuration)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            process,
            s3,
            k2v,
            rpc,
            admin,
        })
    }

    pub(crate) fn begin(&self, arguments: &[&str]) -> Result<(), String> {
        self.process.start(arguments)
    }

    pub(crate) fn rpc(&self) -> SocketAddr {
        self.rpc
    }

    pub(crate) fn call(&self, method: &str, body: &str) -> Result<String, String> {
        admin::call(self.admin, method, body)
    }

    /// Waits until all listeners are there and the node is fully operational.
    pub(crate) fn wait_until_ready(&self) -> Result<(), String> {
        let listens = |address: &SocketAddr| TcpStream::connect(address).is_ok();
        self.wait_until(|| [self.s3, self.k2v].iter().all(listens) && admin::is_healthy(self.admin))
    }

    /// Waits until the node answers questions of administration.
    pub(crate) fn wait_until_listening(&self) -> Result<(), String> {
        self.wait_until(|| TcpStream::connect(self.admin).is_ok())
    }

    fn wait_until(&self, condition: impl Fn() -> bool) -> Result<(), String> {
        let begin = Instant::now();
        while !condition() {
            if !self.process.is_running() {
                self.process.forget_ended();
                return Err(format!("Garage ended by itself:\n{}", self.log()));
            }
            if begin.elapsed() > PATIENCE {
                return Err(format!("Garage does not come up:\n{}", self.log()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}
