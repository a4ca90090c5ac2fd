using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using Marmot.Mls.Crypto;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Protocol.Components;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;

namespace Marmot.Client.Adopted;

/// <summary>What the adopted profile puts into a leaf and a key package, and asks of those of others.</summary>
internal static class AdoptedLeaf
{
    /// <summary>The components this library knows, as a leaf's list names them.</summary>
    internal static readonly ushort[] Components =
    [
        ComponentId.AppComponents,
        ComponentType.Profile, ComponentType.Picture, ComponentType.AdminPolicy, ComponentType.NostrRouting, ComponentType.MessageRetention,
            ComponentType.AgentTextStream, ComponentType.AvatarUrl,
        ComponentType.AccountIdentityProof, ComponentType.MediaPolicy, ComponentType.Lifecycle,
    ];

    // A start in the reader's future is refused, and clocks are a day wrong at times.
    private static readonly TimeSpan Backdate = TimeSpan.FromHours(26);

    /// <summary>
    /// The leaf's capabilities: the dictionary, the receiving role of text streams, which only means that the final message is shown, and the two proposals
    /// of the profile.
    /// </summary>
    internal static Capabilities Capabilities() => new(
        [1],
        [MarmotNumbers.CipherSuite],
        [ExtensionType.AppDataDictionary, AgentTextStream.CapabilityOf(StreamRoles.Receive)],
        [ProposalType.AppDataUpdate, ProposalType.SelfRemove],
        [CredentialType.Basic]);

    /// <summary>A key package of the profile: a fresh signature key with the account's proof for it, marked as last resort.</summary>
    internal static KeyPackageSecrets Create(SecretKey account, DateTimeOffset now)
    {
        var suite = CipherSuite.X25519Aes128Ed25519;
        var start = now - Backdate;
        var lifetime = new Lifetime((ulong)start.ToUnixTimeSeconds(), (ulong)start.ToUnixTimeSeconds() + AdoptedKeyPackageEvent.MaxLifetimeSeconds);
        var signature = suite.GenerateSignatureKeyPair();
        var dictionary = AppDataDictionary.Empty
            .With(ComponentId.AppComponents, ComponentsList.Of(Components).ToBytes())
            .With(ComponentId.SafeAad, ComponentsList.Of().ToBytes())
            .With(ComponentType.AccountIdentityProof, AccountIdentityProof.Create(account, signature.PublicKey, now.ToUnixTimeSeconds()).ToBytes());
        var secrets = KeyPackageSecrets.Create(
            suite, signature, Credential.Basic(account.PublicKey.Span), Capabilities(), lifetime,
            [AppDataDictionary.Empty.With(ComponentId.LastResortKeyPackage, []).ToExtension()], [dictionary.ToExtension()]);
        CryptographicOperations.ZeroMemory(signature.PrivateKey);
        return secrets;
    }

    /// <summary>Why a leaf may not be in a group of the profile, whatever the group asks; null when it may.</summary>
    /// <param name="old">The leaf it replaces; null for a new member.</param>
    /// <param name="leaf">The leaf.</param>
    internal static string? Fault(LeafNode? old, LeafNode leaf)
    {
        if (!MarmotIdentity.TryRead(leaf.Credential, out _))
        {
            return "a leaf's credential is no account";
        }

        if (old is not null && !leaf.Credential.SameAs(old.Credential))
        {
            return "a leaf changes its account";
        }

        if (!AppDataDictionary.TryFind(leaf.Extensions, out var dictionary) || !TryReadComponents(dictionary, out var components)
            || !components.Contains(ComponentType.AccountIdentityProof))
        {
            return "a leaf does not list the account identity proof";
        }

        return dictionary[ComponentType.AccountIdentityProof] is { } body && AccountIdentityProof.TryRead(body, out var proof, out _)
            && proof.Verifies(leaf.Credential.Content, leaf.SignatureKey)
            ? null
            : "a leaf's account identity proof is missing or does not hold";
    }

    /// <summary>What a leaf lacks of what a group requires; empty when it lacks nothing.</summary>
    internal static string Missing(LeafNode leaf, AdoptedState state)
    {
        var supported = AppDataDictionary.TryFind(leaf.Extensions, out var dictionary) && TryReadComponents(dictionary, out var list) ? list
            : ComponentsList.Of();
        var missing = state.Required.Components.Where(id => !supported.Contains(id)).Select(id => $"component 0x{id:x4}").ToList();
        foreach (var role in (StreamRoles[])[StreamRoles.Receive, StreamRoles.Send, StreamRoles.Broker])
        {
            if (state.Stream is { } stream && stream.Required.HasFlag(role) && !leaf.Capabilities.SupportsExtension(AgentTextStream.CapabilityOf(role)))
            {
                missing.Add($"stream role {role}");
            }
        }

        missing.AddRange(state.RequiredCapabilities.Extensions.Where(type => !leaf.Capabilities.SupportsExtension(type))
            .Select(type => $"extension 0x{type:x4}"));
        missing.AddRange(state.RequiredCapabilities.Proposals.Where(type => !leaf.Capabilities.SupportsProposal(type)).Select(type => $"proposal 0x{type:x4}"));
        return string.Join(", ", missing);
    }

    /// <summary>The account of a leaf that has passed <see cref="Fault"/>.</summary>
    internal static Bytes32 AccountOf(LeafNode leaf) => MarmotIdentity.Of(leaf);

    /// <summary>What a leaf's list of components says; empty when it has none.</summary>
    internal static IReadOnlyList<ushort> ComponentsOf(LeafNode leaf) =>
        AppDataDictionary.TryFind(leaf.Extensions, out var dictionary) && TryReadComponents(dictionary, out var list) ? list.Components : [];

    private static bool TryReadComponents(AppDataDictionary dictionary, [NotNullWhen(true)] out ComponentsList? list)
    {
        list = null;
        return dictionary[ComponentId.AppComponents] is { } body && ComponentsList.TryRead(body, out list);
    }
}

/// <summary>The MLS rule of the profile, which remembers what it found. One for each restored group.</summary>
internal sealed class AdoptedLeafRule
{
    /// <summary>What was wrong with the last leaf that was refused.</summary>
    public string? Fault { get; private set; }

    /// <summary>For <c>Group.TryRestore</c> and <c>Group.Join</c>. Each state is kept on its own, so no past epochs are.</summary>
    public GroupRules Rules => new() { AcceptLeaf = Accepts, MaxPastEpochs = 1 };

    private bool Accepts(LeafNode? old, LeafNode leaf)
    {
        string? fault = AdoptedLeaf.Fault(old, leaf);
        Fault = fault ?? Fault;
        return fault is null;
    }
}
