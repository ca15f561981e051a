//! A bucket of real Garage as anybody sees it who has its key: objects and items, without Restante.

use std::collections::{BTreeMap, BTreeSet};

use restante_tests::{
    garage::{Bucket, curl},
    neighbours,
};
use serde_json::{Value, json};

/// The bucket without Restante.
pub(crate) struct Raw<'a>(&'a Bucket);

impl<'a> Raw<'a> {
    pub(crate) fn new(bucket: &'a Bucket) -> Self {
        Self(bucket)
    }

    fn url(&self, key: &str) -> String {
        format!("{}/{}/{key}", self.0.s3_url(), self.0.name)
    }

    /// The keys of all objects, page by page.
    pub(crate) fn objects(&self) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        loop {
            let after = keys.last().map_or("", String::as_str).replace('/', "%2F");
            let url = self.url(&format!("?list-type=2&start-after={after}"));
            let page = neighbours::success(curl(self.0).arg(url));
            let found = page.split("<Key>").skip(1);
            keys.extend(found.filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned())));
            if !page.contains("<IsTruncated>true<") {
                return keys;
            }
        }
    }

    pub(crate) fn object(&self, key: &str) -> String {
        neighbours::success(curl(self.0).arg(self.url(key)))
    }

    pub(crate) fn put_object(&self, key: &str, content: &[u8]) {
        let content = String::from_utf8_lossy(content).into_owned();
        let put = ["--request", "PUT", "--data-binary", &content];
        neighbours::success(curl(self.0).args(put).arg(self.url(key)));
    }

    pub(crate) fn delete_object(&self, key: &str) {
        let delete = ["--request", "DELETE"];
        neighbours::success(curl(self.0).args(delete).arg(self.url(key)));
    }

    /// One of the requests of K2V that name all keys in their bodies.
    fn batch(&self, query: &str, body: &Value) -> String {
        let url = format!("{}/{}{query}", self.0.k2v_url(), self.0.name);
        neighbours::success(
            curl(self.0)
                .args(["--aws-sigv4", "aws:amz:garage:k2v"])
                .args(["--request", "POST", "--data-binary", &body.to_string()])
                .arg(url),
        )
    }

    /// The items of a partition, by sort key: their values, none for what was deleted.
    pub(crate) fn items(&self, partition: &str) -> BTreeMap<String, Vec<Value>> {
        let search = json!([{"partitionKey": partition, "limit": 10_000}]);
        let answer = self.batch("?search=", &search);
        let answer: Value = serde_json::from_str(&answer).expect("K2V answers with JSON");
        let items = answer[0]["items"].as_array().expect("a list of items");
        let item = |item: &Value| {
            let values = item["v"].as_array().expect("a list of values").clone();
            (item["sk"].as_str().expect("a sort key").to_owned(), values)
        };
        items.iter().map(item).collect()
    }

    pub(crate) fn insert_item(&self, partition: &str, sort: &str, value: &str) {
        let item = json!([{"pk": partition, "sk": sort, "ct": null, "v": value}]);
        self.batch("", &item);
    }

    pub(crate) fn delete_item(&self, partition: &str, sort: &str) {
        let item = json!([{"partitionKey": partition, "start": sort, "singleItem": true}]);
        self.batch("?delete=", &item);
    }

    /// The partitions whose names begin so.
    pub(crate) fn partitions(&self, prefix: &str) -> Vec<String> {
        let prefix = prefix.replace('/', "%2F");
        let url = format!("{}/{}?prefix={prefix}", self.0.k2v_url(), self.0.name);
        let sign = ["--aws-sigv4", "aws:amz:garage:k2v"];
        let answer = neighbours::success(curl(self.0).args(sign).arg(url));
        let answer: Value = serde_json::from_str(&answer).expect("K2V answers with JSON");
        let keys = answer["partitionKeys"].as_array().expect("a list of keys");
        let name = |key: &Value| key["pk"].as_str().expect("a partition key").to_owned();
        keys.iter().map(name).collect()
    }
}
