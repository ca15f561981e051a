//! The limits and times of the core that somebody may want otherwise, each with its unit. Where
//! nobody does, a limit is a constant (`…_MAX`) beside what it bounds.

use core::ops::RangeInclusive;
use core::time::Duration;

/// Limits and times. The same for all connections and accounts of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Octets of one command line without its literals (RFC 7162 §4 asks for 8,192).
    pub line_bytes_max: usize,
    /// Octets of all literals of one command other than messages.
    pub literal_bytes_max: usize,
    /// Octets of one refused literal that are read and thrown away so that the connection
    /// can go on; a longer one ends it.
    pub skip_bytes_max: u64,
    /// Octets of one message of APPEND; the value of APPENDLIMIT (RFC 7889).
    pub message_bytes_max: u64,
    /// Messages in one MULTIAPPEND (RFC 3502).
    pub append_messages_max: usize,
    /// Commands that are read before the first of them is answered.
    pub pipeline_max: usize,
    /// Octets that are read and wait to be parsed.
    pub receive_bytes_max: usize,
    /// Octets that wait to be sent; a command that has more to say waits.
    pub transmit_bytes_max: usize,
    /// Plaintext octets in a sealed chunk of a body.
    pub chunk_bytes: usize,
    /// Octets of stored bodies, and of summaries as they are in memory, that are read ahead by a FETCH or
    /// SEARCH.
    pub prefetch_bytes_max: usize,
    /// Objects that are read ahead by a FETCH or SEARCH.
    pub prefetch_objects_max: usize,
    /// Octets of sealed summaries that are read by one request.
    pub summary_batch_bytes_max: usize,
    /// Summaries that are read by one request.
    pub summary_batch_items_max: usize,
    /// Octets of a sealed summary that is kept as an item; longer ones are only in
    /// their object.
    pub summary_item_bytes_max: usize,
    /// Octets of sealed summaries that wait for a commit, to be stored by the same request
    /// as its operations. Those beyond are stored by requests of their own.
    pub commit_summaries_bytes_max: usize,
    /// Octets of the top header that a summary keeps. Of a longer one, ENVELOPE and SEARCH know no
    /// more; FETCH of the header and its fields reads it from the message.
    pub header_bytes_max: usize,
    /// Parts of one message that are looked at; what is deeper or later is text.
    pub mime_parts_max: usize,
    /// Levels of nesting of MIME parts.
    pub mime_depth_max: usize,
    /// Octets of the header of one MIME part or nested message that are looked at.
    pub mime_header_bytes_max: usize,
    /// Octets of parameters, envelopes and the like that the structure of one message
    /// keeps; parts beyond that have their place, type and encoding only.
    pub structure_bytes_max: usize,
    /// Levels of nesting of a SEARCH key.
    pub search_depth_max: usize,
    /// Keys of one SEARCH.
    pub search_keys_max: usize,
    /// Ranges in one set of numbers.
    pub set_ranges_max: usize,
    /// Items of one FETCH, and header fields of one of its sections.
    pub fetch_items_max: usize,
    /// Patterns, and options of a kind, of one LIST.
    pub list_patterns_max: usize,
    /// Flags in one list.
    pub flags_max: usize,
    /// Octets of a keyword.
    pub keyword_bytes_max: usize,
    /// Mailboxes of one account.
    pub mailboxes_max: usize,
    /// Mailboxes that an account has deleted in all its time: that they are deleted is known for ever.
    pub deleted_mailboxes_max: usize,
    /// Names of which it is known that they are subscribed to, or were in the last months.
    pub subscriptions_known_max: usize,
    /// Octets of a mailbox name in UTF-8.
    pub mailbox_name_bytes_max: usize,
    /// Levels of a mailbox name.
    pub mailbox_depth_max: usize,
    /// Keywords of one mailbox, 123 at most.
    pub keywords_max: usize,
    /// Messages of one mailbox.
    pub messages_max: usize,
    /// How long NOOP and CHECK wait for storage before they say what is known.
    pub refresh_patience: Duration,
    /// After how long a log that others wrote to is read again if storage failed.
    pub reread_interval: Duration,
    /// Changes that a server announces to the others at once in one shard; who missed
    /// more is rung for everything.
    pub doorbell_changes_max: usize,
    /// How long one poll for changes of other servers takes at most: less than the 50 or 60 seconds
    /// after which proxies give up a server that says nothing.
    pub doorbell_poll_timeout: Duration,
    /// How long after a poll was armed the shard is read once more.
    pub doorbell_look_again: Duration,
    /// Between two polls, two reads, and two announcements, of one shard, at least.
    pub doorbell_interval: Duration,
    /// The same on average while there is always something to announce or to read.
    pub doorbell_interval_max: Duration,
    /// How many times in a row come at the shorter interval before the longer one rules.
    pub doorbell_rush_max: u32,
    /// The longest pause before a failed poll, read or announcement is made again.
    pub doorbell_pause_max: Duration,
    /// After how long a silence what a server announced is deleted.
    pub doorbell_silence_max: Duration,
    /// Operations in a log before a checkpoint is made, for a small mailbox. One that
    /// changes many messages counts for each of them; so it does in a batch.
    pub checkpoint_operations_min: usize,
    /// How long a server must itself have seen the checkpoints that cover operations before
    /// it deletes these.
    pub log_grace: Duration,
    /// How old these checkpoints must be otherwise, by the clocks of whoever made them and
    /// of who deletes. Clocks may differ by hours.
    pub log_grace_unseen: Duration,
    /// Whether other servers write to the same storage: then UIDs that were claimed are
    /// shown only after the log was read once more.
    pub shared_storage: bool,
    /// How long ago a mailbox may have begun to be read when somebody says that messages come
    /// for it: then it is not read again before they get their UIDs. Who added messages by
    /// another server within that time may see their UIDs change.
    pub claim_read_age_max: Duration,
    /// Octets of a summary that delivery stores beside a message; a longer one is only in the
    /// message's object.
    pub delivered_summary_bytes_max: usize,
    /// Octets of one item of a log before it is sealed; a longer batch becomes several
    /// items.
    pub log_item_bytes_max: usize,
    /// Operations after which a batch takes in no further request.
    pub commit_operations_max: usize,
    /// Mailboxes whose state is kept though no connection has them selected.
    pub idle_mailboxes_max: usize,
    /// How long the state of a mailbox is kept that no connection has selected.
    pub mailbox_idle_timeout: Duration,
    /// How long a client is in IDLE without news until its mailbox is not kept at hand for
    /// it any more; also the pause until a mailbox that could not be read for it is tried
    /// again.
    pub sleep_delay: Duration,
    /// How long it may take until it is written down that messages are not `\Recent` any
    /// more.
    pub recent_delay: Duration,
    /// How old the list of mailboxes may be when it is asked for.
    pub directory_age_max: Duration,
    /// Items that one read of a log asks for.
    pub log_page_items: u32,
    /// Items that the first read of what is new in a log asks for.
    pub log_news_items: u32,
    /// How often a failed storage request is made again, with the same bytes.
    pub storage_retries_max: u32,
    /// How long an expunged message, or a deleted mailbox, can be brought back. What nobody
    /// names any more is deleted only after that.
    pub undelete_retention: Duration,
    /// How long after an expunged message can be brought back no more it is known that it
    /// was expunged. Far above what a write can be late by.
    pub forget_delay: Duration,
    /// Expunged messages of one mailbox that are forgotten by one operation, at least and at
    /// most; one sweep forgets as many of all mailboxes together.
    pub forget_messages: RangeInclusive<usize>,
    /// How old an object must be, and how long it must have been known that nobody names
    /// it, before it is deleted. Far above what a write can be under way, and what the
    /// clocks of servers can differ by.
    pub orphan_age_min: Duration,
    /// How old what is known of a mailbox may be when messages are copied from it; beyond
    /// that its log is read again first.
    pub copy_age_max: Duration,
    /// How often an account that is open is searched for what nobody names any more.
    pub sweep_interval: Duration,
    /// How long after an account was opened it is looked whether that is due.
    pub sweep_delay: Duration,
    /// Objects of a kind that one sweep takes note of, and that it deletes, at most.
    pub sweep_marks_max: usize,
    /// Objects that are named in one answer of storage when all are listed.
    pub list_page_objects: u32,
    /// Objects that are deleted by one request.
    pub sweep_batch_objects: usize,
    /// Findings that a check of an account tells of; more are only counted.
    pub check_findings_max: usize,
    /// Messages that are found by one request to bring messages back.
    pub recover_messages_max: usize,
    /// How long a connection may take to log in.
    pub login_timeout: Duration,
    /// How long an authenticated connection may be silent (RFC 3501 §5.4: 30 min at least).
    pub inactivity_timeout: Duration,
    /// How long a client may take to send the rest of a line or literal.
    pub command_timeout: Duration,
    /// How long a client may take to read any of what was sent.
    pub stall_timeout: Duration,
    /// How often IDLE says `* OK Still here`.
    pub keep_alive_interval: Duration,
    /// How long a wrong password waits for its answer, doubled each time.
    pub penalty: Duration,
    /// Wrong passwords in one connection before it is closed.
    pub wrong_passwords_max: u32,
    /// Bad commands in one connection, with none in between that succeeds, before it is
    /// closed. Some clients try what is not offered as long as they are connected.
    pub bad_commands_max: u32,
    /// What an LMTP server calls itself.
    pub lmtp_host: String,
    /// Octets of one LMTP command line with its end (RFC 5321 §4.5.3.1.4 asks for 512, and
    /// more for parameters).
    pub lmtp_line_bytes_max: usize,
    /// Octets of an address in an LMTP command (RFC 5321 §4.5.3.1.3 asks for 256).
    pub lmtp_path_bytes_max: usize,
    /// Recipients of one LMTP transaction (RFC 5321 §4.5.3.1.8 asks for 100).
    pub lmtp_recipients_max: usize,
    /// How long an LMTP client may take for its next command (RFC 5321 §4.5.3.2.7: 5 min).
    pub lmtp_command_timeout: Duration,
    /// How long an LMTP client may take for the next 16 KiB of a message, or its end.
    pub lmtp_data_timeout: Duration,
    /// How long an LMTP client may take for one message in all.
    pub lmtp_message_timeout: Duration,
    /// How long an LMTP command waits for the accounts to be read, or for room to store a
    /// message, before the client is told to try again later.
    pub lmtp_patience: Duration,
    /// How long a message that is stored waits until those before it are in the same INBOX, and the client with it, which has
    /// 600 s at least for its last dot (RFC 5321 §4.5.3.2.6); then it is told to try again later.
    pub lmtp_turn_patience: Duration,
    /// Commands that make no sense, with no MAIL in between that does, before an LMTP
    /// connection is closed.
    pub lmtp_bad_commands_max: u32,
    /// Octets of one line of the authentication protocol, without its end.
    pub auth_line_bytes_max: usize,
    /// Requests under way in one connection of the authentication protocol.
    pub auth_requests_max: usize,
    /// Octets of a user name in the authentication protocol.
    pub auth_name_bytes_max: usize,
    /// How long a request of the authentication protocol waits for the user to go on: as
    /// long as Postfix does.
    pub auth_response_timeout: Duration,
    /// Whether passwords may be sent without TLS.
    pub plaintext_login: bool,
    /// Whether STARTTLS can be offered.
    pub starttls: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            line_bytes_max: 16 * 1024,
            literal_bytes_max: 64 * 1024,
            skip_bytes_max: 256 * 1024 * 1024,
            message_bytes_max: 64 * 1024 * 1024,
            append_messages_max: 256,
            pipeline_max: 64,
            receive_bytes_max: 64 * 1024,
            transmit_bytes_max: 128 * 1024,
            chunk_bytes: 64 * 1024,
            prefetch_bytes_max: 1792 * 1024,
            prefetch_objects_max: 64,
            summary_batch_bytes_max: 512 * 1024,
            summary_batch_items_max: 128,
            summary_item_bytes_max: 48 * 1024,
            commit_summaries_bytes_max: 64 * 1024,
            header_bytes_max: 256 * 1024,
            mime_parts_max: 1_000,
            mime_depth_max: 100,
            mime_header_bytes_max: 64 * 1024,
            structure_bytes_max: 256 * 1024,
            search_depth_max: 64,
            search_keys_max: 1_000,
            set_ranges_max: 4_096,
            fetch_items_max: 256,
            list_patterns_max: 32,
            flags_max: 64,
            keyword_bytes_max: 255,
            mailboxes_max: 10_000,
            deleted_mailboxes_max: 100_000,
            subscriptions_known_max: 40_000,
            mailbox_name_bytes_max: 1_000,
            mailbox_depth_max: 32,
            keywords_max: 100,
            messages_max: 4_000_000,
            refresh_patience: Duration::from_millis(250),
            reread_interval: Duration::from_secs(5),
            doorbell_changes_max: 64,
            doorbell_poll_timeout: Duration::from_secs(45),
            doorbell_look_again: Duration::from_millis(300),
            doorbell_interval: Duration::from_millis(20),
            doorbell_interval_max: Duration::from_millis(160),
            doorbell_rush_max: 16,
            doorbell_pause_max: Duration::from_secs(5),
            doorbell_silence_max: Duration::from_secs(24 * 3_600),
            checkpoint_operations_min: 256,
            log_grace: Duration::from_secs(600),
            log_grace_unseen: Duration::from_secs(24 * 3_600),
            shared_storage: false,
            claim_read_age_max: Duration::from_millis(10),
            delivered_summary_bytes_max: 8 * 1024,
            log_item_bytes_max: 64 * 1024,
            commit_operations_max: 4_096,
            idle_mailboxes_max: 16,
            mailbox_idle_timeout: Duration::from_secs(10),
            sleep_delay: Duration::from_secs(5),
            recent_delay: Duration::from_secs(2),
            directory_age_max: Duration::from_secs(5),
            log_page_items: 1_000,
            log_news_items: 8,
            storage_retries_max: 4,
            undelete_retention: Duration::from_secs(14 * 24 * 3_600),
            forget_delay: Duration::from_secs(90 * 24 * 3_600),
            forget_messages: 256..=16_000,
            orphan_age_min: Duration::from_secs(24 * 3_600),
            copy_age_max: Duration::from_secs(3_600),
            sweep_interval: Duration::from_secs(24 * 3_600),
            sweep_delay: Duration::from_secs(3),
            sweep_marks_max: 8 * 1024,
            list_page_objects: 1_000,
            sweep_batch_objects: 32,
            check_findings_max: 10_000,
            recover_messages_max: 4 * 1024,
            login_timeout: Duration::from_secs(60),
            inactivity_timeout: Duration::from_secs(31 * 60),
            command_timeout: Duration::from_secs(120),
            stall_timeout: Duration::from_secs(300),
            keep_alive_interval: Duration::from_secs(120),
            penalty: Duration::from_secs(1),
            wrong_passwords_max: 5,
            bad_commands_max: 50,
            lmtp_host: "localhost".to_owned(),
            lmtp_line_bytes_max: 2_048,
            lmtp_path_bytes_max: 512,
            lmtp_recipients_max: 100,
            lmtp_command_timeout: Duration::from_secs(300),
            lmtp_data_timeout: Duration::from_secs(180),
            lmtp_message_timeout: Duration::from_secs(3_600),
            lmtp_patience: Duration::from_secs(30),
            lmtp_turn_patience: Duration::from_secs(120),
            lmtp_bad_commands_max: 20,
            auth_line_bytes_max: 16 * 1024,
            auth_requests_max: 128,
            auth_name_bytes_max: 1_024,
            auth_response_timeout: Duration::from_secs(300),
            plaintext_login: false,
            starttls: false,
        }
    }
}
