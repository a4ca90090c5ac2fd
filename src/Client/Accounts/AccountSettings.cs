using System.Security.Cryptography;
using Marmot.Client.Groups;
using Marmot.Client.Profiles;
using Marmot.Client.Storage;
using Marmot.Protocol.Addresses;
using Marmot.Protocol.Encoding;

namespace Marmot.Client.Accounts;

/// <summary>What an account is told once; stored with its key.</summary>
public sealed record AccountSettings
{
    /// <summary>A name for people; never published.</summary>
    public string Name { get; init; } = string.Empty;

    /// <summary>Relays for everything that has no relays of its own: new groups, looking up others. At least one.</summary>
    public IReadOnlyList<string> Relays { get; init; } = [];

    /// <summary>Where gift wraps are to be sent, kind 10050. Empty: <see cref="Relays"/>.</summary>
    public IReadOnlyList<string> InboxRelays { get; init; } = [];

    /// <summary>Where key packages lie, kind 10051. Empty: <see cref="Relays"/>.</summary>
    public IReadOnlyList<string> KeyPackageRelays { get; init; } = [];

    /// <summary>The <c>d</c> tag of this device's key package, 64 hex digits. Empty: made at random once.</summary>
    public string Slot { get; init; } = string.Empty;

    /// <summary>
    /// The generation of Marmot this account speaks on kind 30443, and in which it makes groups: <see cref="MarmotProfile.Mip"/> (the default) or <see
    /// cref="MarmotProfile.Adopted"/>. Never both; see <see cref="MarmotClient.MoveToAdoptedAsync"/>.
    /// </summary>
    public MarmotProfile Profile { get; init; } = MarmotProfile.Mip;

    /// <summary>Blossom servers for media and avatars, best first.</summary>
    public IReadOnlyList<string> BlossomServers { get; init; } = [];

    /// <summary>The same with every URL checked and what was left empty filled in.</summary>
    /// <exception cref="ClientException">A URL is not valid, or no relay is named.</exception>
    internal AccountSettings Checked()
    {
        if (Relays.Concat(InboxRelays).Concat(KeyPackageRelays).FirstOrDefault(url => !RelayUrls.IsValid(url)) is { } wrong)
        {
            throw new ClientException($"a relay is a ws:// or wss:// URL, not {wrong}");
        }

        if (Profile is not (MarmotProfile.Mip or MarmotProfile.Adopted))
        {
            throw new ClientException("an account speaks the profile mip or adopted");
        }

        if (Slot.Length > 0)
        {
            SenderLimits.CheckSlot(Slot);
        }

        var relays = RelayUrls.Distinct(Relays);
        var inbox = RelayUrls.Distinct(InboxRelays);
        var keyPackages = RelayUrls.Distinct(KeyPackageRelays);
        if (relays.Count == 0)
        {
            throw new ClientException("at least one relay is needed, a ws:// or wss:// URL");
        }

        foreach (string server in BlossomServers)
        {
            if (!HostName.TryReadUrl(server, out var url, out _) || url.Scheme is not ("http" or "https"))
            {
                throw new ClientException($"a Blossom server is an http:// or https:// URL, not {server}");
            }
        }

        return this with
        {
            Relays = relays,
            InboxRelays = inbox.Count > 0 ? inbox : relays,
            KeyPackageRelays = keyPackages.Count > 0 ? keyPackages : relays,
            Slot = Slot.Length > 0 ? Slot : Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32)),
        };
    }
}

/// <summary>The stored account.</summary>
internal sealed record AccountRecord(byte[] SecretKey, AccountSettings Settings)
{
    internal const string Key = "account";

    /// <summary>Our clock when the inbox was last read to the end.</summary>
    public long InboxReadAt { get; init; }
}

/// <summary>An own key package.</summary>
internal sealed record KeyPackageRecord(byte[] Secrets, string Slot, bool IsLastResort, Bytes32 EventId, Bytes32? LegacyEventId, long CreatedAt,
    List<string> Relays)
{
    /// <summary>Welcomes it has opened.</summary>
    public int Uses { get; init; }

    /// <summary>When its private keys are to be wiped, since another took its place; 0 for never.</summary>
    public long RetireAt { get; init; }

    /// <summary>True once a relay took it.</summary>
    public bool IsPublished { get; init; }

    /// <summary>True once its only Welcome was opened: the private keys are gone, the slot waits for another.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public bool IsUsedUp => Secrets.Length == 0;

    internal static string Key(in Bytes32 reference) => $"k/{reference}";

    /// <summary>All own key packages of a store by their reference.</summary>
    internal static IEnumerable<(Bytes32 Reference, KeyPackageRecord Record)> All(ClientStore store) =>
        store.Scan("k/").Select(pair => (Bytes32.ParseHex(pair.Key[2..]), StoreJson.Read<KeyPackageRecord>(pair.Value)));
}
