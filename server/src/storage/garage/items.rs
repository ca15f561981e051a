//! Items: Garage's K2V interface (`/bucket/partition?sort_key=…`, and batches as JSON).

use super::answer::{next, nonsense, rest};
use super::buckets::Bucket;
use super::failure::Failure;
use super::http::{Body, Http, Repeated, Wait};
use super::retry::{Effect, Retry};
use super::signing::{Service, sign_request};
use super::splitter::{Splitter, TooLong};
use crate::storage::limits::{PARTITION_KEY_BYTES_MAX, RANGE_BYTES_MAX, SORT_KEY_BYTES_MAX};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;
use http::header::HeaderValue;
use http::{Method, Request, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use restante_core::storage::{
    CausalityToken, InsertItem, Item, ItemKey, ItemRange, PartitionKey, SortKey, StorageResponse,
};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::sync::Arc;
use std::time::SystemTime;

/// Items of one page of a range (Garage's own limit).
const PAGE_ITEMS_MAX: u32 = 1_000;
/// Items that one request reads by their keys.
const READ_ITEMS_MAX: usize = 1_000;
/// Octets of an answer to that, as Garage writes it.
pub(super) const READ_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Values of one item, with those that were deleted: one for each write that had not seen the others.
pub(super) const SIBLINGS_MAX: usize = 65_536;
/// Octets of a token: Garage writes 22 for each node that ever stored the item for somebody.
pub(super) const TOKEN_BYTES_MAX: usize = 16 * 1024;
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
                let (mut last, mut octets) = (None, 0);
                self.search(bucket, &queries, |query, text| {
                    // Of each key there is one item.
                    let key = keys.get(query).filter(|_| last != Some(query));
                    let key = key.ok_or_else(|| nonsense("one item too many"))?;
                    last = Some(query);
                    octets += text.len();
                    if octets > READ_BYTES_MAX {
                        return Err(nonsense("it is too long"));
                    }
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
            let mut page = Page::new(range, limit as usize);
            let frames = self.search(bucket, &queries, |stretch, text| {
                Ok(page.take(stretch, item(&range.partition, text)?, text.len()))
            });
            let frames = frames.await?;
            Ok(page.end(frames))
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
            written.map_err(|failure| failure.after(rest.len() < inserts.len()))?;
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
        for (number, batch) in deletes.chunks(INSERT_ITEMS_MAX).enumerate() {
            let batch = batch
                .iter()
                .map(|(key, token)| Write::new(key, Some(token), None));
            let written = self.write(bucket, &batch.collect::<Vec<_>>()).await;
            written.map_err(|failure| failure.after(number > 0))?;
        }
        Ok(())
    }

    async fn write(&self, bucket: &Bucket, batch: &[Write<'_>]) -> Result<(), Failure> {
        let body = json(batch)?;
        let write = || async {
            let body = body.clone();
            let answer = self.ask(bucket, Method::POST, None, "", body, None).await;
            written(answer?)
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
            written(answer?)
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

    /// The status of a request whose answer is short, unless it says that the request failed.
    async fn ask(
        &self,
        bucket: &Bucket,
        method: Method,
        partition: Option<&PartitionKey>,
        query: &str,
        body: Bytes,
        token: Option<&CausalityToken>,
    ) -> Result<StatusCode, Failure> {
        let request = self.request(bucket, method, partition, query, body, token)?;
        let answer = self.http.call(request, Wait::Request).await?;
        let answer = self.checked(answer).await?;
        let status = answer.status();
        self.rest(answer).await?;
        Ok(status)
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
        let repeated = answer.extensions().get::<Repeated>().is_some();
        let text = self.rest(answer).await.unwrap_or_default();
        let error: ErrorAnswer = serde_json::from_slice(&text).unwrap_or_default();
        Err(
            match Failure::of_answer(status, &error.code, &error.message) {
                // Items that are not there are no error, so this is something else.
                failure @ (Failure::NotFound | Failure::NoUpload) => nonsense(&failure.to_string()),
                failure => failure.if_carried_out(repeated),
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

/// A page of a range, of which Garage sends each stretch as a list of its own.
///
/// Garage cuts a stretch after as many items as the page may have, and says only at the end of the
/// answer which stretches it cut. (The page may have taken fewer of them: Garage knows no start that is
/// longer than a key.) So nothing is taken of a stretch behind one that may have been cut, and the next page
/// never begins behind an item that this one lacks.
struct Page<'a> {
    range: &'a ItemRange,
    items_max: usize,
    items: Vec<Item>,
    /// Octets of them, as Garage writes them.
    octets: usize,
    /// The first item that was not taken.
    next: Option<SortKey>,
    /// Where a stretch before that item goes on, if Garage cut it.
    cut: Option<SortKey>,
    /// The stretch that is coming, how many items of it have come, and the last of them.
    stretch: usize,
    came: usize,
    last: SortKey,
}

impl<'a> Page<'a> {
    fn new(range: &'a ItemRange, items_max: usize) -> Self {
        Self {
            range,
            items_max,
            items: Vec::new(),
            octets: 0,
            next: None,
            cut: None,
            stretch: 0,
            came: 0,
            last: SortKey(String::new()),
        }
    }

    /// Takes the next item, which is of this stretch and has so many octets. Whether to read on.
    fn take(&mut self, stretch: usize, item: Item, octets: usize) -> bool {
        if self.next.is_none() {
            let may_be_cut = stretch != self.stretch && self.came >= self.items_max;
            self.cut = may_be_cut.then(|| behind(&self.last));
            let full = self.items.len() >= self.items_max || self.octets >= RANGE_BYTES_MAX;
            self.next = (may_be_cut || full).then(|| item.key.sort.clone());
        }
        if self.next.is_some() {
            // An answer that is read to its end leaves its connection for the next request.
            return self.octets < RANGE_BYTES_MAX;
        }
        if stretch != self.stretch {
            (self.stretch, self.came) = (stretch, 0);
        }
        self.came += 1;
        self.last = item.key.sort.clone();
        if self.range.contains(&item.key.sort) {
            self.octets += octets;
            self.items.push(item);
        }
        true
    }

    /// The answer has ended, or enough of it was read. At its end it says where Garage cut stretches.
    fn end(self, frames: Option<Vec<ReadFrame>>) -> StorageResponse {
        let next = match frames {
            Some(frames) => {
                let cut = frames.into_iter().find_map(|frame| frame.next_start);
                [self.next, cut.map(SortKey)].into_iter().flatten().min()
            }
            None => self.cut.or(self.next),
        };
        StorageResponse::Range {
            items: self.items,
            next,
        }
    }
}

/// Garage answers 204 to what it has written. Another good status is of somebody else: of a proxy, say,
/// that has a page for the time in which Garage is away.
fn written(status: StatusCode) -> Result<(), Failure> {
    match status {
        StatusCode::NO_CONTENT => Ok(()),
        status => Err(nonsense(&format!("{status} to a write"))),
    }
}

/// The first key behind this one.
fn behind(key: &SortKey) -> SortKey {
    SortKey(format!("{}\0", key.0))
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
    #[serde(borrow, deserialize_with = "siblings")]
    v: Vec<Option<&'a str>>,
}

/// Values in base64, [`SIBLINGS_MAX`] at most.
fn siblings<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Option<&'a str>>, D::Error> {
    struct Siblings<'a>(PhantomData<&'a str>);

    impl<'de: 'a, 'a> Visitor<'de> for Siblings<'a> {
        type Value = Vec<Option<&'a str>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of {SIBLINGS_MAX} values at most")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut values = Vec::new();
            while let Some(value) = list.next_element()? {
                if values.len() == SIBLINGS_MAX {
                    return Err(A::Error::invalid_length(SIBLINGS_MAX + 1, &self));
                }
                values.push(value);
            }
            Ok(values)
        }
    }

    deserializer.deserialize_seq(Siblings(PhantomData))
}

/// One item of an answer. Its tombstones only show in its token.
fn item(partition: &PartitionKey, text: &[u8]) -> Result<Item, Failure> {
    let ItemText { sk, ct, v } = parsed(text)?;
    if sk.len() > SORT_KEY_BYTES_MAX || ct.len() > TOKEN_BYTES_MAX {
        return Err(nonsense("a key or a token is too long"));
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What is stored: keys, and how many octets each has.
    type Stored = [(&'static str, usize)];

    /// Pages of a range as Garage would give them, to its end: the keys that were found.
    fn read_all(stored: &Stored, range: &ItemRange) -> Vec<String> {
        let value = Bytes::from(vec![0; RANGE_BYTES_MAX]);
        let (mut found, mut range) = (Vec::new(), range.clone());
        let limit = range.limit as usize;
        for _ in 0..=2 * stored.len() {
            let mut page = Page::new(&range, limit);
            let (mut frames, mut goes_on) = (Vec::new(), true);
            for (stretch, (start, end)) in range.stretches().enumerate() {
                let start = floor(&start.0, SORT_KEY_BYTES_MAX);
                let mut inside = stored.iter().filter(|(key, _)| {
                    *key >= start && end.is_none_or(|end| *key < end.0.as_str())
                });
                for (key, octets) in inside.by_ref().take(limit) {
                    let item = Item {
                        key: ItemKey {
                            partition: range.partition.clone(),
                            sort: SortKey((*key).to_owned()),
                        },
                        token: CausalityToken(String::new()),
                        values: vec![value.slice(..*octets)],
                    };
                    goes_on = goes_on && page.take(stretch, item, *octets);
                }
                let next_start = inside.next().map(|(key, _)| (*key).to_owned());
                frames.push(ReadFrame { next_start });
            }
            let StorageResponse::Range { items, next } = page.end(goes_on.then_some(frames)) else {
                panic!("no range");
            };
            assert!(items.len() <= limit);
            found.extend(items.into_iter().map(|item| item.key.sort.0));
            match next {
                Some(next) => range.start = next,
                None => return found,
            }
        }
        panic!("{found:?} and no end");
    }

    #[test]
    fn the_pages_of_a_range_have_every_item_once_whatever_is_full() {
        let longest = |last: char| format!("{}{last}", "k".repeat(SORT_KEY_BYTES_MAX - 1));
        let keys: [&'static str; 7] = [
            "a",
            "b",
            longest('a').leak(),
            longest('b').leak(),
            longest('c').leak(),
            "m",
            "n",
        ];
        let key = |text: &str| SortKey(text.to_owned());
        let withouts = [
            vec![],
            vec![("b0", "c")],
            vec![("a0", "b"), ("b0", keys[3])],
            vec![("b", "c"), (keys[3], keys[4]), ("m0", "n")],
        ];
        let behind = longest('a') + "0";
        for (without, start) in withouts.iter().flat_map(|it| [(it, ""), (it, &behind)]) {
            for (limit, large) in
                (1..=4).flat_map(|limit| (0..1_u32 << 7).map(move |it| (limit, it)))
            {
                let stored = keys.iter().enumerate().map(|(at, key)| {
                    let octets = if large >> at & 1 == 1 {
                        RANGE_BYTES_MAX
                    } else {
                        1
                    };
                    (*key, octets)
                });
                let stored: Vec<_> = stored.collect();
                let without = without.iter().map(|(from, end)| (key(from), key(end)));
                let range = ItemRange {
                    without: without.collect(),
                    ..ItemRange::page(PartitionKey("p".to_owned()), key(start), limit)
                };
                let wanted = keys.iter().filter(|it| range.contains(&key(it)));
                let wanted: BTreeSet<_> = wanted.map(|it| (*it).to_owned()).collect();
                let found = read_all(&stored, &range);
                assert!(
                    wanted.iter().eq(found.iter()),
                    "{range:?} {large:b}: {found:?}"
                );
            }
        }
    }
}
