namespace Marmot.Client;

/// <summary>Numbers of the MIP profile that more than one room needs.</summary>
internal static class MarmotNumbers
{
    /// <summary>MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519.</summary>
    internal const ushort CipherSuite = 1;

    /// <summary>Kind of a Welcome rumor (MIP-02).</summary>
    internal const int WelcomeKind = 444;

    /// <summary>Kind of the list of relays that hold an account's gift wraps (NIP-17).</summary>
    internal const int InboxRelaysKind = 10050;

    /// <summary>Kind of the list of relays that hold an account's key packages (MIP-00).</summary>
    internal const int KeyPackageRelaysKind = 10051;

    /// <summary>Kind of an account's general relay list (NIP-65).</summary>
    internal const int RelayListKind = 10002;

    /// <summary>Kind of a deletion request (NIP-09).</summary>
    internal const int DeletionKind = 5;

    /// <summary>Kind of a chat message.</summary>
    internal const int ChatKind = 9;

    /// <summary>Kind of a reaction.</summary>
    internal const int ReactionKind = 7;
}
