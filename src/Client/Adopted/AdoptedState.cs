using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using Marmot.Mls.Codec;
using Marmot.Mls.Messages;
using Marmot.Protocol.Components;
using Marmot.Protocol.Encoding;
using MlsGroup = Marmot.Mls.Groups.Group;

namespace Marmot.Client.Adopted;

/// <summary>What the group context of an adopted group says in one state: required components and the body of each. Immutable.</summary>
internal sealed class AdoptedState
{
    private static readonly ushort[] AlwaysRequired = [ComponentType.AdminPolicy, ComponentType.AccountIdentityProof];

    private AdoptedState(AppDataDictionary dictionary, ComponentsList required, RequiredCapabilities capabilities) =>
        (Dictionary, Required, RequiredCapabilities) = (dictionary, required, capabilities);

    public AppDataDictionary Dictionary { get; }

    /// <summary>What every leaf must support.</summary>
    public ComponentsList Required { get; }

    public RequiredCapabilities RequiredCapabilities { get; }

    public GroupProfile Profile { get; private init; } = new(string.Empty, string.Empty);

    public AdminPolicy Admins { get; private init; } = null!;

    /// <summary>Null when the group has none; it cannot be reached over Nostr then.</summary>
    public NostrRouting? Routing { get; private init; }

    public MessageRetention Retention { get; private init; } = MessageRetention.Off;

    public MediaPolicy? Media { get; private init; }

    public AgentTextStream? Stream { get; private init; }

    public AvatarUrl Avatar { get; private init; } = AvatarUrl.None;

    public GroupPicture? Picture { get; private init; }

    /// <summary>Null in a group from before the component.</summary>
    public GroupLifecycle? Lifecycle { get; private init; }

    /// <summary>Reads the extensions of a group context; false with the rule that they break.</summary>
    public static bool TryRead(IReadOnlyList<Extension> extensions, [NotNullWhen(true)] out AdoptedState? state, out string fault)
    {
        state = null;
        fault = "the group has no dictionary of application data";
        if (!AppDataDictionary.TryFind(extensions, out var dictionary))
        {
            return false;
        }

        fault = "the group does not require the dictionary and its updates";
        var capabilities = Capabilities(extensions);
        return capabilities.Extensions.Contains(ExtensionType.AppDataDictionary) && capabilities.Proposals.Contains(ProposalType.AppDataUpdate)
            && TryRead(dictionary, capabilities, out state, out fault);
    }

    /// <summary>The same for a dictionary.</summary>
    public static bool TryRead(AppDataDictionary dictionary, RequiredCapabilities capabilities, [NotNullWhen(true)] out AdoptedState? state, out string fault)
    {
        state = null;
        fault = "the group's list of required components is missing or malformed";
        if (dictionary[ComponentId.AppComponents] is not { } list || !ComponentsList.TryRead(list, out var required))
        {
            return false;
        }

        if (Array.Find(AlwaysRequired, id => !required.Contains(id)) is var missing and not 0)
        {
            fault = $"the group does not require component 0x{missing:x4}";
            return false;
        }

        foreach (ushort id in required.Components)
        {
            if (id != ComponentType.AccountIdentityProof && !dictionary.Contains(id))
            {
                fault = $"the required component 0x{id:x4} has no data";
                return false;
            }
        }

        foreach (ushort id in dictionary.Components)
        {
            if (ComponentType.FaultInGroup(id, dictionary[id]) is { } broken)
            {
                fault = $"component 0x{id:x4}: {broken}";
                return false;
            }
        }

        if (!dictionary.Contains(ComponentType.AdminPolicy))
        {
            fault = "the group has no list of admins";
            return false;
        }

        state = new AdoptedState(dictionary, required, capabilities)
        {
            Profile = GroupProfile.TryRead(dictionary[ComponentType.Profile], out var profile, out _) ? profile : new GroupProfile(string.Empty, string.Empty),
            Admins = AdminPolicy.TryRead(dictionary[ComponentType.AdminPolicy], out var admins, out _) ? admins : null!,
            Routing = NostrRouting.TryRead(dictionary[ComponentType.NostrRouting], out var routing, out _) ? routing : null,
            Retention = MessageRetention.TryRead(dictionary[ComponentType.MessageRetention], out var retention, out _) ? retention : MessageRetention.Off,
            Media = MediaPolicy.TryRead(dictionary[ComponentType.MediaPolicy], out var media, out _) ? media : null,
            Stream = AgentTextStream.TryRead(dictionary[ComponentType.AgentTextStream], out var stream, out _) ? stream : null,
            Avatar = AvatarUrl.TryRead(dictionary[ComponentType.AvatarUrl], out var avatar, out _) ? avatar : AvatarUrl.None,
            Picture = dictionary[ComponentType.Picture] is { } body && GroupPicture.TryRead(body, out var picture, out _) ? picture : null,
            Lifecycle = GroupLifecycle.TryRead(dictionary[ComponentType.Lifecycle], out var lifecycle, out _) ? lifecycle : null,
        };
        return true;
    }

    /// <summary>The state of a group that was checked when it was joined or its commit was taken.</summary>
    public static AdoptedState Of(MlsGroup group) => TryRead(group.Extensions, out var state, out string fault) ? state : throw new InvalidDataException(fault);

    /// <summary>The required_capabilities of a context; empty ones when it has none or they cannot be read.</summary>
    public static RequiredCapabilities Capabilities(IReadOnlyList<Extension> extensions)
    {
        try
        {
            if (extensions.FirstOrDefault(one => one.Type == ExtensionType.RequiredCapabilities) is { } extension)
            {
                var reader = new TlsReader(extension.Data);
                return new RequiredCapabilities(reader.ReadUInt16Vector(), reader.ReadUInt16Vector(), reader.ReadUInt16Vector());
            }
        }
        catch (MlsException)
        {
            // As good as none.
        }

        return new RequiredCapabilities([], [], []);
    }

    /// <summary>The extensions of a group context in epoch 0.</summary>
    public static Extension[] FirstExtensions(AppDataDictionary dictionary) =>
    [
        new RequiredCapabilities([ExtensionType.AppDataDictionary], [ProposalType.AppDataUpdate, ProposalType.SelfRemove], []).ToExtension(),
        dictionary.ToExtension(),
    ];

    /// <summary>The key of the outer envelope in this state.</summary>
    public static byte[] EnvelopeKey(MlsGroup group) => group.Export("marmot", "group-event"u8, 32);

    /// <summary>The media secret of this state.</summary>
    public static byte[] MediaSecret(MlsGroup group) => group.Export("marmot", "encrypted-media"u8, 32);

    /// <summary>The value that names a state: two clients with the same one agree on everything. The exporter itself is never shown.</summary>
    public static Bytes32 Commitment(MlsGroup group)
    {
        byte[] secret = group.Export("marmot", "convergence-conformance-v1"u8, 32);
        var commitment = new Bytes32(SHA256.HashData((byte[])[.. "marmot-convergence-conformance-v1"u8, 0, .. secret]));
        CryptographicOperations.ZeroMemory(secret);
        return commitment;
    }
}
