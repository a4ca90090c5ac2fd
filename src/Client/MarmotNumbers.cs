using Marmot.Protocol.Events;

namespace Marmot.Client;

/// <summary>Numbers of the MIP profile that more than one room needs.</summary>
internal static class MarmotNumbers
{
    /// <summary>MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519.</summary>
    internal const ushort CipherSuite = 1;

    /// <summary>Kind of a Welcome rumor (MIP-02).</summary>
    internal const int WelcomeKind = EventKinds.Welcome;

    /// <summary>Kind of the list of relays that hold an account's gift wraps (NIP-17).</summary>
    internal const int InboxRelaysKind = EventKinds.InboxRelays;

    /// <summary>Kind of the list of relays that hold an account's key packages (MIP-00).</summary>
    internal const int KeyPackageRelaysKind = EventKinds.KeyPackageRelays;

    /// <summary>Kind of an account's general relay list (NIP-65).</summary>
    internal const int RelayListKind = EventKinds.RelayList;

    /// <summary>Kind of a deletion request (NIP-09).</summary>
    internal const int DeletionKind = EventKinds.Deletion;

    /// <summary>Kind of a chat message.</summary>
    internal const int ChatKind = EventKinds.Chat;

    /// <summary>Kind of a reaction.</summary>
    internal const int ReactionKind = EventKinds.Reaction;
}
