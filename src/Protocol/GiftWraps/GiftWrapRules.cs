namespace Marmot.Protocol.GiftWraps;

/// <summary>What an opener checks beyond or below the usual (NIP-59).</summary>
[Flags]
public enum GiftWrapRules
{
    /// <summary>Kind 1059, verified here, addressed to the recipient by at least one <c>p</c> tag.</summary>
    None = 0,

    /// <summary>Takes kind 21059, the wrap that relays do not store, as well.</summary>
    AcceptEphemeral = 1,

    /// <summary>Refuses a wrap whose tags are anything but one <c>p</c> tag with one value, as the July 2026 transport text does.</summary>
    SingleRecipient = 2,

    /// <summary>The caller has verified the wrap's id and signature already; saves one signature check.</summary>
    WrapIsVerified = 4,
}
