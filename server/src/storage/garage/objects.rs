//! Objects: Garage's S3 interface. Reading and storing a body is done by [`Bodies`], everything else
//! by the S3 SDK over the same HTTP. One client serves every account; each request brings
//! its own credentials.

use super::answer::nonsense;
use super::bodies::{self, Bodies, begins_at, is_etag, object_len};
use super::buckets::Bucket;
use super::failure::Failure;
use super::http::{Body, Http, SdkHttp};
use super::items::floor;
use super::limits::GarageLimits;
use super::pace::{Pace, Turn};
use super::retry::{Effect, Retry};
use crate::permits::Permits;
use crate::storage::limits::OBJECT_KEY_BYTES_MAX;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Config, IdentityCache, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use bytes::Bytes;
use restante_core::storage::{ObjectKey, StorageResponse};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Keys of one page of a list (S3's own limit).
const PAGE_KEYS_MAX: u32 = 1_000;
/// The key of no object: none of ours begins like this.
const ABSENT_KEY: &str = "!restante/absent";
/// Objects that one request deletes (S3's own limit).
const DELETE_KEYS_MAX: usize = 1_000;

/// S3 over our HTTP.
#[derive(Clone)]
pub(super) struct Objects(Arc<Shared>);

struct Shared {
    client: Client,
    bodies: Bodies,
    http: Http,
    retry: Arc<Retry>,
    streams: Permits,
    pace: Pace,
    part_bytes: usize,
}

/// What an object that was opened brings.
pub(super) struct Got {
    /// Octets of the whole object.
    pub(super) len: u64,
    /// Tells this object from others of the same key.
    pub(super) etag: String,
    /// The octets that were asked for.
    pub(super) body: Body,
}

impl Objects {
    pub(super) fn new(http: Http, region: &str, limits: &GarageLimits, retry: Arc<Retry>) -> Self {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .endpoint_url(http.address().to_string())
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            // Time limits and repetitions are ours, the same as for items.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .identity_cache(IdentityCache::no_cache())
            .http_client(SdkHttp(http.clone()))
            .build();
        Self(Arc::new(Shared {
            client: Client::from_conf(config),
            bodies: Bodies::new(http.clone(), region),
            http,
            retry,
            streams: Permits::new(limits.streams_max),
            pace: Pace::new(limits.requests_max),
            part_bytes: limits.part_bytes,
        }))
    }

    pub(super) fn http(&self) -> &Http {
        &self.0.http
    }

    pub(super) fn retry(&self) -> &Retry {
        &self.0.retry
    }

    /// Places for bodies that keep a connection.
    pub(super) fn streams(&self) -> &Permits {
        &self.0.streams
    }

    /// Waits until this object may be asked for. What its key begins with is the account.
    pub(super) async fn turn(&self, key: &ObjectKey) -> Result<Turn<'_>, Failure> {
        let http = self.http();
        let account = key.0.split('/').next().unwrap_or_default();
        let turn = http.within(http.timeout(), self.0.pace.turn(account)).await;
        turn.ok_or_else(|| {
            Failure::Unavailable(format!(
                "{}: too many objects are asked for",
                http.address()
            ))
        })
    }

    /// Octets of one part of an upload.
    pub(super) fn part_bytes(&self) -> usize {
        self.0.part_bytes
    }

    /// Whether the bucket can be read and written to. Garage asks for the right to write, which is the
    /// same one for items, before it finds that there is nothing to delete.
    pub(super) async fn check(&self, bucket: &Bucket) -> Result<(), Failure> {
        self.page(bucket, "", None, 1).await?;
        let absent = ObjectKey(ABSENT_KEY.to_owned());
        self.delete(bucket, &[absent]).await
    }

    /// The octets from `start` to `end` of an object, of the one with `etag` where it is
    /// given. The range must not be empty. Once: whoever reads the body repeats.
    pub(super) async fn get(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        (start, end): (u64, Option<u64>),
        etag: Option<&str>,
    ) -> Result<Got, Failure> {
        let range = match (start, end) {
            (0, None) => None,
            (start, None) => Some(format!("bytes={start}-")),
            (start, Some(end)) => Some(format!("bytes={start}-{}", end.saturating_sub(1))),
        };
        let from = range.is_some().then_some(start);
        let answer = self.0.bodies.get(bucket, key, range, etag).await?;
        let found = bodies::etag(&answer)?.to_owned();
        begins_at(&answer, from)?;
        if etag.is_some_and(|etag| etag != found) {
            return Err(Failure::Replaced);
        }
        Ok(Got {
            len: object_len(key, &answer)?,
            etag: found,
            body: answer.into_body(),
        })
    }

    /// The length of an object: asked for by a GET, whose octets nobody reads. The answer to a HEAD
    /// has no body, so a 404 to it does not say whether it is Garage that misses the object.
    pub(super) async fn len(&self, bucket: &Bucket, key: &ObjectKey) -> Result<u64, Failure> {
        let get = || async {
            let answer = self.0.bodies.get(bucket, key, None, None).await?;
            bodies::etag(&answer)?;
            begins_at(&answer, None)?;
            object_len(key, &answer)
        };
        self.0.retry.run(Effect::Read, get).await
    }

    /// Stores a short object.
    pub(super) async fn put(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        body: Bytes,
    ) -> Result<(), Failure> {
        let put = || self.0.bodies.put(bucket, key, body.clone());
        self.0.retry.run(Effect::Write, put).await
    }

    /// Begins an upload in parts; its name.
    pub(super) async fn begin(&self, bucket: &Bucket, key: &ObjectKey) -> Result<String, Failure> {
        // An upload that was begun without our knowing is found by the sweep.
        let begin = || async {
            let answer = self
                .0
                .client
                .create_multipart_upload()
                .bucket(&bucket.name)
                .key(&key.0)
                .customize()
                .config_override(credentials(bucket))
                .send()
                .await
                .map_err(Failure::of_sdk)?;
            let id = answer.upload_id;
            id.ok_or_else(|| Failure::Unavailable(format!("{key}: an upload without a name")))
        };
        self.0.retry.run(Effect::Read, begin).await
    }

    /// Stores one part (from 1).
    pub(super) async fn put_part(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        upload: &str,
        number: i32,
        body: Bytes,
    ) -> Result<CompletedPart, Failure> {
        let put = || async {
            let answer = self
                .0
                .client
                .upload_part()
                .bucket(&bucket.name)
                .key(&key.0)
                .upload_id(upload)
                .part_number(number)
                .body(ByteStream::from(body.clone()))
                .customize()
                .config_override(credentials(bucket))
                .send()
                .await
                .map_err(Failure::of_sdk)?;
            let etag = answer.e_tag.filter(|etag| is_etag(etag));
            let etag = etag.ok_or_else(|| nonsense("a part has no ETag of Garage"));
            Ok(CompletedPart::builder()
                .part_number(number)
                .e_tag(etag?)
                .build())
        };
        self.0.retry.run(Effect::Read, put).await
    }

    /// Makes the parts one object, which is visible then.
    pub(super) async fn complete(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        upload: &str,
        parts: Vec<CompletedPart>,
        len: u64,
    ) -> Result<(), Failure> {
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts))
            .build();
        let complete = || async {
            self.0
                .client
                .complete_multipart_upload()
                .bucket(&bucket.name)
                .key(&key.0)
                .upload_id(upload)
                .multipart_upload(parts.clone())
                .customize()
                .config_override(credentials(bucket))
                .send()
                .await
                .map(drop)
                .map_err(Failure::of_sdk)
        };
        match self.0.retry.run(Effect::Write, complete).await {
            // An attempt whose answer was lost has ended it.
            Err(Failure::NoUpload) => match self.len(bucket, key).await {
                Ok(found) if found == len => Ok(()),
                Ok(_) | Err(Failure::NotFound) => Err(Failure::NoUpload),
                Err(failure) => Err(failure),
            },
            result => result,
        }
    }

    /// Throws the parts of an upload away.
    pub(super) async fn abort(
        &self,
        bucket: &Bucket,
        key: &str,
        upload: &str,
    ) -> Result<(), Failure> {
        let abort = || async {
            self.0
                .client
                .abort_multipart_upload()
                .bucket(&bucket.name)
                .key(key)
                .upload_id(upload)
                .customize()
                .config_override(credentials(bucket))
                .send()
                .await
                .map(drop)
                .map_err(Failure::of_sdk)
        };
        match self.0.retry.run(Effect::Read, abort).await {
            Err(Failure::NoUpload) => Ok(()),
            result => result,
        }
    }

    /// Uploads that were begun longer ago than `age_max` and neither finished nor aborted: their keys
    /// and names, one page of them.
    ///
    /// What time it is says the answer, as it says when they were begun: by a clock of ours that is ahead
    /// those would be old that others have just begun. Where it does not say, none is old.
    pub(super) async fn old_uploads(
        &self,
        bucket: &Bucket,
        age_max: Duration,
        after: Option<(String, String)>,
    ) -> Result<(Vec<(String, String)>, Option<(String, String)>), Failure> {
        let (key, upload) = after.unzip();
        let date = AnswerDate::default();
        let page = || async {
            self.0
                .client
                .list_multipart_uploads()
                .bucket(&bucket.name)
                .set_key_marker(key.clone())
                .set_upload_id_marker(upload.clone())
                .customize()
                .interceptor(date.clone())
                .config_override(credentials(bucket))
                .send()
                .await
                .map_err(Failure::of_sdk)
        };
        let page = self.0.retry.run(Effect::Read, page).await?;
        let next = page.next_key_marker.zip(page.next_upload_id_marker);
        let next = next.filter(|_| page.is_truncated == Some(true));
        let uploads = page.uploads.unwrap_or_default().into_iter();
        let age_max = i64::try_from(age_max.as_secs()).unwrap_or(i64::MAX);
        let before = date.seconds().map(|now| now.saturating_sub(age_max));
        let old = uploads.filter(|upload| {
            let begun = upload.initiated.map(|initiated| initiated.secs());
            begun
                .zip(before)
                .is_some_and(|(begun, before)| begun < before)
        });
        Ok((
            old.filter_map(|upload| upload.key.zip(upload.upload_id))
                .collect(),
            next,
        ))
    }

    /// Keys in order.
    pub(super) async fn list(
        &self,
        bucket: &Bucket,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: u32,
    ) -> Result<StorageResponse, Failure> {
        if prefix.len() > OBJECT_KEY_BYTES_MAX || limit == 0 {
            // Nothing can be there.
            let (keys, more) = (Vec::new(), false);
            return Ok(StorageResponse::Objects { keys, more });
        }
        // Keys before the prefix are no place to continue from, and S3 would refuse one
        // that is too long; the same objects follow.
        let after = after.map(|after| floor(&after.0, OBJECT_KEY_BYTES_MAX));
        let after = after.filter(|after| *after >= prefix);
        self.page(bucket, prefix, after, limit.min(PAGE_KEYS_MAX))
            .await
    }

    async fn page(
        &self,
        bucket: &Bucket,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<StorageResponse, Failure> {
        let list = || async {
            self.0
                .client
                .list_objects_v2()
                .bucket(&bucket.name)
                .prefix(prefix)
                .set_start_after(after.map(str::to_owned))
                .max_keys(i32::try_from(limit).unwrap_or(i32::MAX))
                .customize()
                .config_override(credentials(bucket))
                .send()
                .await
                .map_err(Failure::of_sdk)
        };
        let page = self.0.retry.run(Effect::Read, list).await?;
        let keys = page.contents.unwrap_or_default().into_iter();
        let keys = keys.filter_map(|object| object.key).map(ObjectKey);
        Ok(StorageResponse::Objects {
            keys: keys.collect(),
            more: page.is_truncated == Some(true),
        })
    }

    /// Deletes objects of one bucket; those that do not exist are no error.
    pub(super) async fn delete(&self, bucket: &Bucket, keys: &[ObjectKey]) -> Result<(), Failure> {
        for (number, keys) in keys.chunks(DELETE_KEYS_MAX).enumerate() {
            let delete = || async {
                match keys {
                    [key] => self.delete_one(bucket, key).await,
                    keys => self.delete_batch(bucket, keys).await,
                }
            };
            let deleted = self.0.retry.run(Effect::Write, delete).await;
            deleted.map_err(|failure| failure.after(number > 0))?;
        }
        Ok(())
    }

    async fn delete_one(&self, bucket: &Bucket, key: &ObjectKey) -> Result<(), Failure> {
        let answer = self
            .0
            .client
            .delete_object()
            .bucket(&bucket.name)
            .key(&key.0)
            .customize()
            .config_override(credentials(bucket))
            .send()
            .await;
        match answer.map_err(Failure::of_sdk) {
            Ok(_) | Err(Failure::NotFound) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    async fn delete_batch(&self, bucket: &Bucket, keys: &[ObjectKey]) -> Result<(), Failure> {
        let broken = |error: aws_sdk_s3::error::BuildError| Failure::Refused(error.to_string());
        let objects = keys
            .iter()
            .map(|key| ObjectIdentifier::builder().key(&key.0).build());
        let objects = objects.collect::<Result<Vec<_>, _>>().map_err(broken)?;
        let delete = Delete::builder()
            .set_objects(Some(objects))
            .quiet(true)
            .build();
        let answer = self
            .0
            .client
            .delete_objects()
            .bucket(&bucket.name)
            .delete(delete.map_err(broken)?)
            .customize()
            .config_override(credentials(bucket))
            .send()
            .await
            .map_err(Failure::of_sdk)?;
        let failed = answer.errors.unwrap_or_default();
        let failed = failed
            .iter()
            .find(|error| error.code.as_deref() != Some("NoSuchKey"));
        match failed {
            None => Ok(()),
            Some(error) => Err(Failure::Unavailable(format!(
                "{} was not deleted: {}",
                error.key.as_deref().unwrap_or_default(),
                error.message.as_deref().unwrap_or_default()
            ))),
        }
    }
}

/// What differs from request to request.
fn credentials(bucket: &Bucket) -> Builder {
    Config::builder()
        .credentials_provider(bucket.credentials.clone())
        // One that belongs to this request would need a clock, and would hold nothing.
        .identity_cache(IdentityCache::no_cache())
}

/// The date of the last answer (RFC 9110 §6.6.1), which the SDK itself tells nobody.
#[derive(Clone, Debug, Default)]
struct AnswerDate(Arc<Mutex<Option<DateTime>>>);

impl AnswerDate {
    /// In seconds since 1970.
    fn seconds(&self) -> Option<i64> {
        let date = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        date.map(|date| date.secs())
    }
}

impl Intercept for AnswerDate {
    fn name(&self) -> &'static str {
        "AnswerDate"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date;
        Ok(())
    }
}
