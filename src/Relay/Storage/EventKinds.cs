namespace Marmot.Relay.Storage;

/// <summary>How NIP-01 and its neighbours treat a kind.</summary>
internal static class EventKinds
{
    public const int Deletion = 5;
    public const int Vanish = 62;
    public const int GroupEvent = 445;
    public const int GiftWrap = 1059;
    public const int EphemeralGiftWrap = 21059;
    public const int RelayAuth = 22242;

    public static bool IsReplaceable(int kind) => kind is 0 or 3 or (>= 10000 and < 20000);

    public static bool IsEphemeral(int kind) => kind is >= 20000 and < 30000;

    public static bool IsAddressable(int kind) => kind is >= 30000 and < 40000;

    /// <summary>NIP-59: only for the key in its <c>p</c> tag.</summary>
    public static bool IsGiftWrap(int kind) => kind is GiftWrap or EphemeralGiftWrap;
}
