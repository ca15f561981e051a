//! Items: Garage's K2V interface (`/bucket/partition?sort_key=…`, and batches as JSON).

use super::answer::{next, nonsense, rest};
use super::buckets::Bucket;
use super::failure::Failure;
use super::http::{Body, Http, Wait};
use super::retry::{Effect, Retry};
use super::signing::{Service, sign_request};
use super::splitter::{Splitter, TooLong};
use crate::storage::limits::{PARTITION_KEY_BYTES_MAX, RANGE_BYTES_MAX, SORT_KEY_BYTES_MAX};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use core::time::Duration;
use http::header::HeaderValue;
use http::{Method, Request, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use restante_core::storage::{
    CausalityToken, InsertItem, Item, ItemKey, ItemRange, PartitionKey, SortKey, StorageResponse,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::SystemTime;

/// Items of one page of a range (Garage's own limit).
const PAGE_ITEMS_MAX: u32 = 1_000;
/// Items that one request reads by their keys.
const READ_ITEMS_MAX: usize = 1_000;
/// Items that one request inserts.
const INSERT_ITEMS_MAX: usize = 1_000;
/// Octets of values that one request inserts; the item that passes it is the last.
const INSERT_BYTES_MAX: usize = 1024 * 1024;
/// Seconds that Garage waits in a poll, at most.
const POLL_SECONDS_MAX: u64 = 600;
/// The header that carries a token.
const TOKEN: &str = "x-garage-causality-token";
/// Everything but what RFC 3986 §2.3 leaves as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// K2V over our HTTP.
#[derive(Clone)]
pub(super) struct Items {
    http: Http,
    region: Arc<str>,
    retry: Arc<Retry>,
}

impl Items {
    pub(super) fn new(http: Http, region: &str, retry: Arc<Retry>) -> Self {
        let region = Arc::from(region);
        Self {
            http,
            region,
            retry,
        }
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// Whether the bucket can be read, by listing one of its partitions.
    pub(super) async fn check(&self, bucket: &Bucket) -> Result<(), Failure> {
        let query = "?limit=1";
        self.ask(bucket, Method::GET, None, query, Bytes::new(), None)
            .await
            .map(drop)
    }

    /// Several items of one bucket, in the order of the keys.
    pub(super) async fn read(
        &self,
        bucket: &Bucket,
        keys: &[ItemKey],
    ) -> Result<Vec<Item>, Failure> {
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(READ_ITEMS_MAX) {
            let queries = keys.iter().map(|key| ReadQuery {
                partition: &key.partition.0,
                start: Some(&key.sort.0),
                end: None,
                limit: None,
                single_item: true,
                tombstones: true,
            });
            let queries: Vec<_> = queries.collect();
            let read = || async {
                let mut page = Vec::with_capacity(keys.len());
                self.search(bucket, &queries, |query, text| {
                    let key = keys
                        .get(query)
                        .ok_or_else(|| nonsense("one item too many"))?;
                    page.push(item(&key.partition, text)?);
                    Ok(true)
                })
                .await?;
                Ok(page)
            };
            found.extend(self.retry.run(Effect::Read, read).await?);
        }
        Ok(found)
    }

    /// A page of a range.
    pub(super) async fn range(
        &self,
        bucket: &Bucket,
        range: &ItemRange,
    ) -> Result<StorageResponse, Failure> {
        let limit = range.limit.min(PAGE_ITEMS_MAX);
        // No sort key is longer than Garage takes, so the same items follow, after some
        // that are left out below.
        let queries = range.stretches().map(|(start, end)| ReadQuery {
            partition: &range.partition.0,
            start: Some(floor(&start.0, SORT_KEY_BYTES_MAX)).filter(|from| !from.is_empty()),
            end: end.map(|end| end.0.as_str()),
            limit: Some(limit),
            single_item: false,
            tombstones: true,
        });
        let queries: Vec<_> = queries.collect();
        if range.partition.0.len() > PARTITION_KEY_BYTES_MAX || queries.is_empty() || limit == 0 {
            // Nothing can be there.
            let (items, next) = (Vec::new(), None);
            return Ok(StorageResponse::Range { items, next });
        }
        let read = || async {
            let mut items = Vec::new();
            let mut octets = 0;
            let mut next = None;
            let frames = self.search(bucket, &queries, |_, text| {
                let item = item(&range.partition, text)?;
                if octets >= RANGE_BYTES_MAX {
                    next = next.take().or(Some(item.key.sort));
                    return Ok(false);
                }
                if items.len() >= limit as usize {
                    // Of what is behind it the answer brings no more than as much again;
                    // where a stretch before this one was cut is said at its end.
                    next = next.take().or(Some(item.key.sort));
                    return Ok(true);
                }
                if range.contains(&item.key.sort) {
                    octets += item.values.iter().map(Bytes::len).sum::<usize>();
                    items.push(item);
                }
                Ok(true)
            });
            let cut = frames.await?.into_iter().flatten();
            let cut = cut.filter_map(|frame| frame.next_start.map(SortKey)).next();
            let next = [next, cut].into_iter().flatten().min();
            Ok(StorageResponse::Range { items, next })
        };
        self.retry.run(Effect::Read, read).await
    }

    /// Stores values, some in one request.
    pub(super) async fn insert(
        &self,
        bucket: &Bucket,
        inserts: &[InsertItem],
    ) -> Result<(), Failure> {
        if let [insert] = inserts {
            let token = insert.token.as_ref();
            return self
                .write_one(bucket, &insert.key, token, Some(&insert.value))
                .await;
        }
        let mut rest = inserts;
        while !rest.is_empty() {
            let mut octets = 0;
            let count = rest.iter().take(INSERT_ITEMS_MAX).take_while(|insert| {
                let room = octets < INSERT_BYTES_MAX;
                octets += insert.value.len();
                room
            });
            let (batch, left) = rest.split_at(count.count());
            let batch = batch.iter().map(|insert| {
                let value = Some(STANDARD.encode(&insert.value));
                Write::new(&insert.key, insert.token.as_ref(), value)
            });
            let written = self.write(bucket, &batch.collect::<Vec<_>>()).await;
            // What came before is stored.
            written.map_err(|failure| match failure {
                Failure::Refused(why) if rest.len() < inserts.len() => Failure::Unavailable(why),
                failure => failure,
            })?;
            rest = left;
        }
        Ok(())
    }

    /// Deletes items as their tokens knew them.
    pub(super) async fn delete(
        &self,
        bucket: &Bucket,
        deletes: &[(ItemKey, CausalityToken)],
    ) -> Result<(), Failure> {
        if let [(key, token)] = deletes {
            return self.write_one(bucket, key, Some(token), None).await;
        }
        for batch in deletes.chunks(INSERT_ITEMS_MAX) {
            let batch = batch
                .iter()
                .map(|(key, token)| Write::new(key, Some(token), None));
            self.write(bucket, &batch.collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    async fn write(&self, bucket: &Bucket, batch: &[Write<'_>]) -> Result<(), Failure> {
        let body = json(batch)?;
        let write = || async {
            let body = body.clone();
            let answer = self.ask(bucket, Method::POST, None, "", body, None).await;
            answer.map(drop)
        };
        self.retry.run(Effect::Write, write).await
    }

    /// One item goes as it is, without base64.
    async fn write_one(
        &self,
        bucket: &Bucket,
        key: &ItemKey,
        token: Option<&CausalityToken>,
        value: Option<&Bytes>,
    ) -> Result<(), Failure> {
        let query = format!("?sort_key={}", utf8_percent_encode(&key.sort.0, ENCODED));
        let method = if value.is_some() {
            Method::PUT
        } else {
            Method::DELETE
        };
        let write = || async {
            let body = value.cloned().unwrap_or_default();
            let partition = Some(&key.partition);
            let answer = self
                .ask(bucket, method.clone(), partition, &query, body, token)
                .await;
            answer.map(drop)
        };
        self.retry.run(Effect::Write, write).await
    }

    /// Waits until something in the partition changes or the time is over. Without a
    /// marker it answers at once.
    pub(super) async fn poll(
        &self,
        bucket: &Bucket,
        partition: &PartitionKey,
        seen: Option<String>,
        time: Duration,
    ) -> Result<Option<String>, Failure> {
        let seconds = u64::from(time.subsec_nanos() > 0) + time.as_secs();
        let body = json(&PollQuery {
            seen_marker: seen.as_deref(),
            timeout: seconds.clamp(1, POLL_SECONDS_MAX),
        })?;
        let polled = async {
            let request = self.request(
                bucket,
                Method::POST,
                Some(partition),
                "?poll_range",
                body,
                None,
            )?;
            let answer = self.http.call(request, Wait::Poll(time)).await?;
            if answer.status() == StatusCode::NOT_MODIFIED {
                self.rest(answer).await?;
                return Ok(seen.clone());
            }
            let answer = match self.checked(answer).await {
                Ok(answer) => answer,
                // Garage's own queue of changes has overflowed: there are some.
                Err(Failure::Unavailable(why)) if why.contains("lagged") => return Ok(seen.clone()),
                Err(failure) => return Err(failure),
            };
            let mut splitter = Splitter::new(2);
            self.split(answer, &mut splitter, |_, _| Ok(true)).await?;
            let frame: PollFrame = parsed(splitter.frame())?;
            Ok(Some(frame.seen_marker))
        };
        // Garage counts in seconds.
        match time.subsec_nanos() > 0 && seen.is_some() {
            true => match self.http.within_exactly(time, polled).await {
                Some(result) => result,
                None => Ok(seen.clone()),
            },
            false => polled.await,
        }
    }

    /// A batch of reads. Each item is shown to `take` as it comes, with the number of
    /// its query. What is returned are the ends of the lists, unless `take` had enough.
    async fn search(
        &self,
        bucket: &Bucket,
        queries: &[ReadQuery<'_>],
        take: impl FnMut(usize, &[u8]) -> Result<bool, Failure>,
    ) -> Result<Option<Vec<ReadFrame>>, Failure> {
        let body = json(queries)?;
        let request = self.request(bucket, Method::POST, None, "?search", body, None)?;
        let answer = self.http.call(request, Wait::Request).await?;
        let answer = self.checked(answer).await?;
        let mut splitter = Splitter::new(3);
        if !self.split(answer, &mut splitter, take).await? {
            return Ok(None);
        }
        let frames: Vec<ReadFrame> = parsed(splitter.frame())?;
        match frames.len() == queries.len() {
            true => Ok(Some(frames)),
            false => Err(nonsense("not as many answers as queries")),
        }
    }

    async fn split(
        &self,
        answer: Response<Body>,
        splitter: &mut Splitter,
        mut take: impl FnMut(usize, &[u8]) -> Result<bool, Failure>,
    ) -> Result<bool, Failure> {
        let mut body = answer.into_body();
        while let Some(octets) = self.next(&mut body).await? {
            if !splitter.feed(&octets, &mut take)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A request whose answer is short.
    async fn ask(
        &self,
        bucket: &Bucket,
        method: Method,
        partition: Option<&PartitionKey>,
        query: &str,
        body: Bytes,
        token: Option<&CausalityToken>,
    ) -> Result<Bytes, Failure> {
        let request = self.request(bucket, method, partition, query, body, token)?;
        let answer = self.http.call(request, Wait::Request).await?;
        let answer = self.checked(answer).await?;
        self.rest(answer).await
    }

    fn request(
        &self,
        bucket: &Bucket,
        method: Method,
        partition: Option<&PartitionKey>,
        query: &str,
        body: Bytes,
        token: Option<&CausalityToken>,
    ) -> Result<Request<Bytes>, Failure> {
        let mut uri = format!("{}/{}", self.http.address(), bucket.name);
        if let Some(partition) = partition {
            uri.push('/');
            uri.extend(utf8_percent_encode(&partition.0, ENCODED));
        }
        uri.push_str(query);
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(token) = token {
            let value = HeaderValue::from_str(&token.0);
            let value = value.map_err(|_| Failure::Refused("not a token of Garage".to_owned()))?;
            request = request.header(TOKEN, value);
        }
        let request = request.body(body);
        let mut request = request.map_err(|error| Failure::Refused(error.to_string()))?;
        sign_request(
            &mut request,
            Service::K2v,
            &bucket.identity,
            &self.region,
            SystemTime::now(),
        )?;
        Ok(request)
    }

    /// The answer, unless it says that the request failed.
    async fn checked(&self, answer: Response<Body>) -> Result<Response<Body>, Failure> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = self.rest(answer).await.unwrap_or_default();
        let error: ErrorAnswer = serde_json::from_slice(&text).unwrap_or_default();
        Err(
            match Failure::of_answer(status, &error.code, &error.message) {
                // Items that are not there are no error, so this is something else.
                failure @ (Failure::NotFound | Failure::NoUpload) => nonsense(&failure.to_string()),
                failure => failure,
            },
        )
    }

    async fn rest(&self, answer: Response<Body>) -> Result<Bytes, Failure> {
        rest(&self.http, answer).await
    }

    async fn next(&self, body: &mut Body) -> Result<Option<Bytes>, Failure> {
        next(&self.http, body).await
    }
}

#[derive(Serialize)]
struct ReadQuery<'a> {
    #[serde(rename = "partitionKey")]
    partition: &'a str,
    start: Option<&'a str>,
    end: Option<&'a str>,
    limit: Option<u32>,
    #[serde(rename = "singleItem")]
    single_item: bool,
    tombstones: bool,
}

#[derive(Deserialize)]
struct ReadFrame {
    #[serde(rename = "nextStart")]
    next_start: Option<String>,
}

#[derive(Serialize)]
struct Write<'a> {
    pk: &'a str,
    sk: &'a str,
    ct: Option<&'a str>,
    v: Option<String>,
}

impl<'a> Write<'a> {
    fn new(key: &'a ItemKey, token: Option<&'a CausalityToken>, v: Option<String>) -> Self {
        Self {
            pk: &key.partition.0,
            sk: &key.sort.0,
            ct: token.map(|token| token.0.as_str()),
            v,
        }
    }
}

#[derive(Serialize)]
struct PollQuery<'a> {
    #[serde(rename = "seenMarker")]
    seen_marker: Option<&'a str>,
    timeout: u64,
}

#[derive(Deserialize)]
struct PollFrame {
    #[serde(rename = "seenMarker")]
    seen_marker: String,
}

#[derive(Default, Deserialize)]
struct ErrorAnswer {
    code: String,
    message: String,
}

#[derive(Deserialize)]
struct ItemText<'a> {
    sk: String,
    ct: String,
    #[serde(borrow)]
    v: Vec<Option<&'a str>>,
}

/// One item of an answer. Its tombstones only show in its token.
fn item(partition: &PartitionKey, text: &[u8]) -> Result<Item, Failure> {
    let ItemText { sk, ct, v } = parsed(text)?;
    let values = v.into_iter().flatten().map(|value| {
        let value = STANDARD
            .decode(value)
            .map_err(|_| nonsense("a value is not base64"))?;
        Ok(Bytes::from(value))
    });
    Ok(Item {
        key: ItemKey {
            partition: partition.clone(),
            sort: SortKey(sk),
        },
        token: CausalityToken(ct),
        values: values.collect::<Result<_, Failure>>()?,
    })
}

fn json<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, Failure> {
    let text = serde_json::to_vec(value).map_err(|error| Failure::Refused(error.to_string()))?;
    Ok(Bytes::from(text))
}

fn parsed<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(text).map_err(|error| nonsense(&error.to_string()))
}

impl From<TooLong> for Failure {
    fn from(TooLong: TooLong) -> Self {
        nonsense("it is too long")
    }
}

/// The first octets of `text`, not more than `max`, up to the end of a character.
pub(super) fn floor(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}
