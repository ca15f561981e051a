//! Real Garage under a server, and the faults between the two.

use std::{process::Command, sync::Arc};

pub use restante_garage_node::{Bucket, Mode, Proxy};
use restante_garage_node::{Cluster, Node, REGION};

use crate::neighbours::{self, Program};

/// Where a server under test keeps its mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In its own folder.
    Embedded,
    /// In a bucket of its own on a node that many tests share.
    Garage,
    /// On a node of its own, which the test may kill, behind proxies.
    OwnGarage,
    /// On three nodes of its own with replication 3; the server speaks to the first, behind
    /// proxies, and another may speak to another ([`Server::second_at`](crate::Server::second_at)).
    ThreeNodes,
}

/// One of the two that a server speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// That of objects.
    S3,
    /// That of items.
    K2v,
}

/// Garage as one test sees it: a bucket, the nodes, and what lies between.
pub struct Garage {
    /// The bucket, by the addresses of the node itself.
    pub bucket: Bucket,
    nodes: Nodes,
    /// In front of S3 and K2V, where the nodes are the test's own.
    proxies: Option<[Proxy; 2]>,
}

enum Nodes {
    Shared(&'static Node),
    One(Box<Node>),
    Three(Box<Cluster>),
}

impl Garage {
    /// What a storage needs; nothing for the embedded one.
    pub(crate) fn start(storage: Storage) -> Result<Option<Arc<Self>>, String> {
        let nodes = match storage {
            Storage::Embedded => return Ok(None),
            Storage::Garage => Nodes::Shared(Node::shared()),
            Storage::OwnGarage => Nodes::One(Box::new(Node::start()?)),
            Storage::ThreeNodes => Nodes::Three(Box::new(Cluster::start()?)),
        };
        let bucket = nodes.first().bucket();
        let proxies = (storage != Storage::Garage).then(|| [bucket.s3, bucket.k2v].map(Proxy::to));
        Ok(Some(Arc::new(Self {
            bucket,
            nodes,
            proxies,
        })))
    }

    /// The node that a server speaks to unless it is told another.
    pub fn node(&self) -> &Node {
        self.nodes.first()
    }

    /// The three nodes.
    ///
    /// # Panics
    /// When the test did not ask for them.
    pub fn three_nodes(&self) -> &[Node; 3] {
        match &self.nodes {
            Nodes::Three(cluster) => &cluster.nodes,
            _ => panic!("the test has no three nodes"),
        }
    }

    /// Changes what becomes of the bytes between server and Garage.
    ///
    /// # Panics
    /// When the node is shared with other tests: there is no proxy then.
    pub fn network(&self, mode: Mode) {
        let proxies = self.proxies.as_ref().expect("the node is the test's own");
        for proxy in proxies {
            proxy.set(mode);
        }
    }

    /// The same for S3 alone, or for K2V alone.
    ///
    /// # Panics
    /// When the node is shared with other tests.
    pub fn network_of(&self, interface: Interface, mode: Mode) {
        let proxies = self.proxies.as_ref().expect("the node is the test's own");
        proxies[interface as usize].set(mode);
    }

    /// How many answers to the server were broken off so far.
    ///
    /// # Panics
    /// When the node is shared with other tests.
    pub fn broken_answers(&self) -> usize {
        let proxies = self.proxies.as_ref().expect("the node is the test's own");
        proxies.iter().map(Proxy::broken).sum()
    }

    /// The keys of the uploads in parts that are neither finished nor aborted.
    ///
    /// # Panics
    /// When curl(1) fails.
    #[must_use]
    pub fn uploads(&self) -> Vec<String> {
        let url = format!("{}/{}?uploads=", self.bucket.s3_url(), self.bucket.name);
        let list = neighbours::success(curl(&self.bucket).arg(url));
        let uploads = list.split("<Upload>").skip(1);
        uploads
            .map(|upload| {
                let (_, rest) = upload.split_once("<Key>").expect("an upload has a key");
                let (key, _) = rest.split_once("</Key>").expect("which ends");
                key.to_owned()
            })
            .collect()
    }

    /// The section `[storage]` of a server that speaks to this node: to the first through
    /// the proxies, if any, and to others at their own addresses.
    pub(crate) fn configuration(&self, node: usize) -> String {
        if node > 0 {
            return configuration(&self.three_nodes()[node].reached_here(&self.bucket));
        }
        let mut bucket = self.bucket.clone();
        if let Some([s3, k2v]) = &self.proxies {
            (bucket.s3, bucket.k2v) = (s3.address(), k2v.address());
        }
        configuration(&bucket)
    }
}

impl Nodes {
    fn first(&self) -> &Node {
        match self {
            Self::Shared(node) => node,
            Self::One(node) => node,
            Self::Three(cluster) => &cluster.nodes[0],
        }
    }
}

/// curl(1) that signs its requests with the bucket's key.
pub fn curl(bucket: &Bucket) -> Command {
    let mut curl = Program::CURL.command();
    curl.args(["--silent", "--show-error", "--fail", "--path-as-is"])
        .args(["--aws-sigv4", "aws:amz:garage:s3"])
        .args(["--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD"])
        .args(["--user", &format!("{}:{}", bucket.key_id, bucket.secret)]);
    curl
}

/// The section `[storage]` of a server that keeps its mail in this bucket.
pub fn configuration(bucket: &Bucket) -> String {
    format!(
        "[storage]\nkind = \"garage\"\ns3 = \"{}\"\nk2v = \"{}\"\nregion = \"{REGION}\"\n\
         bucket = \"{}\"\nkey_id = \"{}\"\nsecret = \"{}\"\n",
        bucket.s3_url(),
        bucket.k2v_url(),
        bucket.name,
        bucket.key_id,
        bucket.secret
    )
}
