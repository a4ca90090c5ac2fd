namespace Marmot.Protocol.Events;

/// <summary>The kind numbers that this suite knows, each once. What a type stands for names its own as <c>Kind</c>, by this list.</summary>
public static class EventKinds
{
    /// <summary>NIP-01: who somebody is.</summary>
    public const int Profile = 0;

    /// <summary>NIP-02: whom somebody follows.</summary>
    public const int Follows = 3;

    /// <summary>NIP-09: a deletion request.</summary>
    public const int Deletion = 5;

    /// <summary>NIP-25: a reaction.</summary>
    public const int Reaction = 7;

    /// <summary>NIP-C7: a chat message; inside a group only (MIP-03).</summary>
    public const int Chat = 9;

    /// <summary>NIP-59: a seal; inside a gift wrap only.</summary>
    public const int Seal = 13;

    /// <summary>NIP-62: a request to vanish.</summary>
    public const int Vanish = 62;

    /// <summary>MIP-00 as it was first: a key package.</summary>
    public const int LegacyKeyPackage = 443;

    /// <summary>MIP-02: a Welcome; inside a gift wrap only.</summary>
    public const int Welcome = 444;

    /// <summary>MIP-03: a sealed group message.</summary>
    public const int GroupEvent = 445;

    /// <summary>MIP-05: a push trigger; inside a gift wrap only.</summary>
    public const int PushTrigger = 446;

    /// <summary>MIP-05: a push token of a member; inside a group only.</summary>
    public const int PushTokenUpdate = 447;

    /// <summary>MIP-05: the push tokens that a member knows; inside a group only.</summary>
    public const int PushTokenList = 448;

    /// <summary>MIP-05: a push token is withdrawn; inside a group only.</summary>
    public const int PushTokenRemoval = 449;

    /// <summary>Adopted profile: proof of an account's identity; inside MLS only.</summary>
    public const int AccountIdentityProof = 450;

    /// <summary>Adopted profile: proof of a push token; inside MLS only.</summary>
    public const int PushTokenProof = 451;

    /// <summary>NIP-59: a gift wrap.</summary>
    public const int GiftWrap = 1059;

    /// <summary>NIP-56: a report.</summary>
    public const int Report = 1984;

    /// <summary>NIP-65: somebody's relays.</summary>
    public const int RelayList = 10002;

    /// <summary>NIP-17: where somebody takes gift wraps.</summary>
    public const int InboxRelays = 10050;

    /// <summary>MIP-00: where somebody's key packages are.</summary>
    public const int KeyPackageRelays = 10051;

    /// <summary>BUD-03: somebody's blob servers.</summary>
    public const int BlobServers = 10063;

    /// <summary>NIP-59: a gift wrap that no relay stores.</summary>
    public const int EphemeralGiftWrap = 21059;

    /// <summary>NIP-42: an answer to a relay's challenge.</summary>
    public const int RelayAuth = 22242;

    /// <summary>BUD-11: a token for a blob server.</summary>
    public const int BlossomAuth = 24242;

    /// <summary>NIP-98: a token for an HTTP request.</summary>
    public const int HttpAuth = 27235;

    /// <summary>MIP-00: a key package.</summary>
    public const int KeyPackage = 30443;
}
