using Marmot.Protocol.Events;

namespace Marmot.Relay.Storage;

/// <summary>How NIP-01 and its neighbours treat a kind.</summary>
internal static class KindRules
{
    /// <summary>
    /// Kinds that exist only inside encryption: whoever publishes one in the clear leaks it, so no relay may hold it. Seals (13, NIP-59), Welcomes (444), push
    /// requests and token gossip (446 to 449), and what the adopted profile keeps inside MLS messages (450 to 457, 461, 1200 to 1202, 1210).
    /// </summary>
    public static readonly int[] OnlyEncrypted = [
        EventKinds.Seal, EventKinds.Welcome, .. Enumerable.Range(EventKinds.PushTrigger, 12), 461, 1200, 1201, 1202, 1210
    ];

    /// <summary>True for <see cref="OnlyEncrypted"/>.</summary>
    public static bool IsOnlyEncrypted(int kind) =>
        kind is EventKinds.Seal or EventKinds.Welcome or (>= EventKinds.PushTrigger and <= EventKinds.PushTrigger + 11) or 461 or (>= 1200 and <= 1202) or 1210;

    public static bool IsReplaceable(int kind) => kind is EventKinds.Profile or EventKinds.Follows or (>= 10000 and < 20000);

    public static bool IsEphemeral(int kind) => kind is >= 20000 and < 30000;

    public static bool IsAddressable(int kind) => kind is >= 30000 and < 40000;

    /// <summary>NIP-59: only for the key in its <c>p</c> tag.</summary>
    public static bool IsGiftWrap(int kind) => kind is EventKinds.GiftWrap or EventKinds.EphemeralGiftWrap;
}
