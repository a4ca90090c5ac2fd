using Marmot.Protocol.Events;

namespace Marmot.Relay;

/// <summary>The relay's refusals, each text once.</summary>
internal static class Rejections
{
    public static readonly RejectReason WrongId = RejectReason.Invalid("id is not the hash of the event");
    public static readonly RejectReason WrongSignature = RejectReason.Invalid("the signature does not verify");
    public static readonly RejectReason AlreadyStored = RejectReason.Duplicate("already have this event");
    public static readonly RejectReason Superseded = RejectReason.Duplicate("a newer version of this event is stored");
    public static readonly RejectReason Deleted = RejectReason.Blocked("this event was deleted");
    public static readonly RejectReason Vanished = RejectReason.Blocked("its author asked this relay to forget it");
    public static readonly RejectReason Expired = RejectReason.Invalid("the event has expired");
    public static readonly RejectReason EventTooLarge = RejectReason.Invalid("the event is too large");
    public static readonly RejectReason TooNew = RejectReason.Invalid("created_at is too far in the future");
    public static readonly RejectReason SkewedGroupEvent = RejectReason.Invalid("created_at of a group event must be close to the relay's clock");
    public static readonly RejectReason NotOneGroup = RejectReason.Invalid("a group event has exactly one h tag");
    public static readonly RejectReason RepostOfProtected = RejectReason.Blocked("it embeds an event that only its author may publish");
    public static readonly RejectReason NoOrigin =
        RejectReason.Invalid("this relay is not told its own name (setting Public:Origin), so it takes a name only from loopback");
    public static readonly RejectReason OtherRelay = RejectReason.Invalid("the relay tag names another relay");
    public static readonly RejectReason OnlyEncrypted = RejectReason.Blocked("this kind exists only inside encryption");
    public static readonly RejectReason KindNotTaken = RejectReason.Blocked("this relay does not take this kind");
    public static readonly RejectReason AuthAsEvent = RejectReason.Invalid("an AUTH event is not published");
    public static readonly RejectReason ProtectedNeedsAuth = RejectReason.AuthRequired("a protected event is taken from its author only");
    public static readonly RejectReason ProtectedForeign = RejectReason.Restricted("a protected event is taken from its author only");
    public static readonly RejectReason NobodyListens = RejectReason.Mute("nobody listens to this ephemeral event, so it went nowhere");
    public static readonly RejectReason TooManyKeys = RejectReason.RateLimited("too many keys on one connection");
    public static readonly RejectReason TooFast = RejectReason.RateLimited("too many events, slow down");
    public static readonly RejectReason PolicySilent = RejectReason.Error("the relay's write policy does not answer");
    public static readonly RejectReason Banned = RejectReason.Blocked("the relay's operator does not take this");
    public static readonly RejectReason TooMuchWork = RejectReason.RateLimited("too much work from this address, slow down");
    public static readonly RejectReason TargetTooFast = RejectReason.RateLimited("too much for this group or recipient, slow down");
    public static readonly RejectReason WriteNeedsAuth = RejectReason.AuthRequired("this relay takes events from known keys only");
    public static readonly RejectReason WriteNotAllowed = RejectReason.Restricted("this key may not write here");
    public static readonly RejectReason WrapsNeedAuth = RejectReason.AuthRequired("gift wraps are served to their recipient only");
    public static readonly RejectReason WrapsForeign = RejectReason.Restricted("gift wraps are served to their recipient only");
    public static readonly RejectReason TooMuchHeld = RejectReason.RateLimited("too much arrived while the request waited for authentication; ask again");
    public static readonly RejectReason TooMuchOpen = RejectReason.RateLimited("too many filter values are held open; close some subscriptions");
    public static readonly RejectReason TooManySubscriptions = RejectReason.Blocked("too many open subscriptions");
    public static readonly RejectReason NotReached = RejectReason.Error("the relay's database has not been reached yet");
    public static readonly RejectReason StoreFailed = RejectReason.Error("the store could not be read");
    public static readonly RejectReason TooWide = RejectReason.Blocked("the filter makes the relay look at too much; narrow it by id, author, tag or time");
    public static readonly RejectReason NoSearch = new(RejectPrefix.Unsupported, "search is not offered (NIP-50)");
    public static readonly RejectReason TooManyToSync = RejectReason.Blocked("too many events for one reconciliation; narrow the filter by time");
    public static readonly RejectReason SyncClosed = new(RejectPrefix.Closed, "this reconciliation is not open");
    public static readonly RejectReason BadSyncMessage = RejectReason.Invalid("not a negentropy message of version 1");
    public static readonly RejectReason ShuttingDown = RejectReason.Error("the relay is shutting down");
}
