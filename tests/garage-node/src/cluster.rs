//! Three nodes that hold each value three times.

use crate::{Bucket, Node, admin};

/// How many nodes there are, and how often each value is held.
const NODES: usize = 3;

/// Three nodes of replication factor 3: any two of them serve.
pub struct Cluster {
    /// The nodes. All are alike: each serves every bucket.
    pub nodes: [Node; NODES],
}

impl Cluster {
    /// Starts three nodes and waits until all of them serve.
    ///
    /// # Errors
    /// Why there is no executable, or the log of a node that does not come up.
    pub fn start() -> Result<Self, String> {
        let nodes = [Node::new(NODES)?, Node::new(NODES)?, Node::new(NODES)?];
        let mut ids = Vec::new();
        for node in &nodes {
            node.begin(&[])?;
        }
        for node in &nodes {
            node.wait_until_listening()?;
            ids.push(id(node)?);
        }
        // Each with each: what one node hears of by another comes only seconds later, and
        // until then the death of that other one would part them.
        for (own, node) in nodes.iter().enumerate() {
            let others = nodes.iter().zip(&ids).enumerate();
            let others: Vec<String> = others
                .filter(|(index, _)| *index != own)
                .map(|(_, (other, id))| format!("\"{id}@{}\"", other.rpc()))
                .collect();
            node.call("ConnectClusterNodes", &format!("[{}]", others.join(",")))?;
        }
        let first = &nodes[0];
        let roles: Vec<String> = ids
            .iter()
            .map(|id| {
                format!("{{\"id\":\"{id}\",\"zone\":\"dc1\",\"capacity\":1000000000,\"tags\":[]}}")
            })
            .collect();
        first.call(
            "UpdateClusterLayout",
            &format!("{{\"roles\":[{}]}}", roles.join(",")),
        )?;
        first.call("ApplyClusterLayout", "{\"version\":1}")?;
        for node in &nodes {
            node.wait_until_ready()?;
        }
        Ok(Self { nodes })
    }

    /// A fresh bucket with a key, spoken to through the node of this index.
    ///
    /// # Panics
    /// When the nodes refuse, or there is no such node.
    pub fn bucket(&self, node: usize) -> Bucket {
        self.nodes[node].bucket()
    }
}

fn id(node: &Node) -> Result<String, String> {
    let answer = node.call("GetNodeInfo?node=self", "")?;
    // `{"success": {"<id>": {…`: the id is the name of a field.
    admin::field(&answer, "nodeId")
        .map(str::to_owned)
        .ok_or_else(|| format!("no id of the node in {answer}"))
}
