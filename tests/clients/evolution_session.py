"""A session of Evolution's own IMAP library (Camel's IMAPX), without its windows: PORT USER PASSWORD FOLDER.

Two profiles, which keep what they know in FOLDER: one asks for changes with QRESYNC, the other one does not.
What one changes the other one must find. What both say is shown on stderr with CAMEL_DEBUG=imapx.
"""
import ctypes
import ctypes.util
import os
import sys
import threading
import time

port, user, password, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
os.environ["HOME"] = folder
os.environ["GIO_USE_NETWORK_MONITOR"] = "base"  # or it is offline where there is only the loopback interface

import gi  # noqa: E402

gi.require_version("Camel", "1.2")
from gi.repository import Camel, GLib  # noqa: E402

FLAGS = Camel.MessageFlags
Camel.init(folder, False)
Camel.Provider.init()


class Profile(Camel.Session):
    """One installation of Evolution with one account."""

    def __init__(self, name, qresync):
        place = os.path.join(folder, name)
        super().__init__(user_data_dir=place + "/data", user_cache_dir=place + "/cache")
        self.set_online(True)
        self.store = self.add_service("account", "imapx", Camel.ProviderType.STORE)
        settings = self.store.ref_settings()
        for key, value in (("host", "127.0.0.1"), ("port", port), ("user", user), ("use-qresync", qresync),
                           ("use-idle", True), ("security-method", Camel.NetworkSecurityMethod.NONE)):
            settings.set_property(key, value)
        assert self.store.set_online_sync(True, None)

    def do_authenticate_sync(self, service, mechanism, cancellable=None):
        service.set_password(password)
        return service.authenticate_sync(mechanism, cancellable) == Camel.AuthenticationResult.ACCEPTED

    def list(self):
        flags = Camel.StoreGetFolderInfoFlags
        assert self.store.get_folder_info_sync(None, flags.RECURSIVE | flags.REFRESH, None)

    def folder(self, name):
        it = self.store.get_folder_sync(name, 0, None)
        assert it.refresh_info_sync(None), name
        return it

    def subjects(self, name):
        it = self.folder(name)
        return sorted(it.get_message_info(uid).get_subject() for uid in uids(it))


class Strings(ctypes.Structure):
    """A GPtrArray of strings. Python's bindings free those that Camel keeps, so it is asked without them."""

    _fields_ = [("strings", ctypes.POINTER(ctypes.c_char_p)), ("count", ctypes.c_uint)]


camel = ctypes.CDLL(ctypes.util.find_library("camel-1.2"))
for call in (camel.camel_folder_get_uids, camel.camel_folder_search_by_expression):
    call.restype = ctypes.POINTER(Strings)


def in_order(array):
    return sorted((array.contents.strings[index].decode() for index in range(array.contents.count)), key=int)


def uids(it):
    return in_order(camel.camel_folder_get_uids(ctypes.c_void_p(hash(it))))


def search(it, expression):
    return in_order(camel.camel_folder_search_by_expression(ctypes.c_void_p(hash(it)), expression, None, None))


def octets(number):
    extra = "needle" if number == 3 else "hay"
    return (f"From: sender{number}@example.org\r\nTo: {user}@example.net\r\nSubject: message {number}\r\n"
            f"Message-ID: <{number}@example.org>\r\nDate: Mon, 02 Nov 2026 10:00:{number:02} +0100\r\n\r\n"
            f"{extra} of {number}\r\n").encode()


def append(it, number, flags=0):
    message = Camel.MimeMessage.new()
    assert message.construct_from_stream_sync(Camel.StreamMem.new_with_buffer(octets(number)), None)
    info = Camel.MessageInfo.new(None)
    info.set_flags(flags, flags)
    done, uid = it.append_message_sync(message, info, None)
    assert done
    return uid


def until(what, patience_s=20):
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.1)
    return False


# IDLE is begun by a timer of the main loop.
threading.Thread(target=GLib.MainLoop().run, daemon=True).start()
quick, plain = Profile("quick", True), Profile("plain", False)

# Folders and messages.
assert quick.store.create_folder_sync("", "Evolution", None)
assert quick.store.create_folder_sync("Evolution", "Inside", None)
inbox = quick.folder("INBOX")
for number in range(1, 8):
    append(inbox, number, FLAGS.SEEN if number == 1 else 0)
everything = [f"message {number}" for number in range(1, 8)]
assert quick.subjects("INBOX") == everything, quick.subjects("INBOX")
assert plain.subjects("INBOX") == everything, plain.subjects("INBOX")
first, second, third = uids(inbox)[:3]
message = inbox.get_message_sync(second, None)
assert (message.get_subject(), message.get_message_id()) == ("message 2", "2@example.org")
text = message.get_content().get_byte_array().decode()
assert text.strip() == "hay of 2", text
assert inbox.get_message_info(first).get_flags() & FLAGS.SEEN
assert search(inbox, b'(match-all (body-contains "needle"))') == [third]

# Flags and labels go to the server, and to the other one.
inbox.set_message_flags(second, FLAGS.SEEN | FLAGS.FLAGGED, FLAGS.SEEN | FLAGS.FLAGGED)
inbox.set_message_user_flag(third, "$Labelwork", True)
assert inbox.synchronize_sync(False, None)
other = plain.folder("INBOX")
assert other.get_message_flags(second) & FLAGS.FLAGGED and other.get_message_flags(second) & FLAGS.SEEN
assert other.get_message_user_flag(third, "$Labelwork")

# A message is moved, another one copied, one is deleted, by who has no QRESYNC; who has it finds that.
plain.list()
target = plain.folder("Evolution/Inside")
done, _ = other.transfer_messages_to_sync([first], target, True, None)
assert done
done, _ = other.transfer_messages_to_sync([second], target, False, None)
assert done
other.set_message_flags(third, FLAGS.DELETED, FLAGS.DELETED)
assert other.synchronize_sync(True, None)
left = [f"message {number}" for number in (2, 4, 5, 6, 7)]
assert quick.subjects("INBOX") == left, quick.subjects("INBOX")
assert plain.subjects("INBOX") == left, plain.subjects("INBOX")
assert quick.subjects("Evolution/Inside") == ["message 1", "message 2"]

# Who was away finds what changed meanwhile.
assert quick.store.disconnect_sync(True, None)
for uid in uids(other)[1:3]:
    other.set_message_flags(uid, FLAGS.ANSWERED, FLAGS.ANSWERED)
other.set_message_flags(uids(other)[3], FLAGS.DELETED, FLAGS.DELETED)
assert other.synchronize_sync(True, None)
append(other, 8)
assert quick.store.connect_sync(None)
left = [f"message {number}" for number in (2, 4, 5, 7, 8)]
assert quick.subjects("INBOX") == left, quick.subjects("INBOX")
answered = [uid for uid in uids(inbox) if inbox.get_message_flags(uid) & FLAGS.ANSWERED]
assert len(answered) == 2, answered

# Who waits is told.
append(other, 9)
assert until(lambda: len(uids(inbox)) == 6), "nobody was told of what came"

assert quick.store.rename_folder_sync("Evolution/Inside", "Kept", None)
plain.list()
assert plain.subjects("Kept") == ["message 1", "message 2"]
assert quick.store.delete_folder_sync("Kept", None)
for profile in (quick, plain):
    assert profile.store.disconnect_sync(True, None)
print("all done")
