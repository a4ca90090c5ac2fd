using System.Diagnostics.CodeAnalysis;
using Marmot.Mls.Codec;
using Marmot.Mls.Messages;
using Marmot.Protocol.Components;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Client.Adopted;

/// <summary>Key packages of the adopted profile as events: written, read, and chosen among several.</summary>
internal static class AdoptedKeyPackages
{
    /// <summary>The event of an own key package.</summary>
    public static NostrEvent CreateEvent(SecretKey account, KeyPackage package, in Bytes32 slot, long createdAt) =>
        AdoptedKeyPackageEvent.Create(
            account, slot, new Bytes32(package.Reference()), package.Leaf.Capabilities.Extensions, package.Leaf.Capabilities.Proposals,
                AdoptedLeaf.ComponentsOf(package.Leaf),
            MlsMessage.Of(package).ToBytes(), createdAt);

    /// <summary>Why a key package is none of the profile, or not valid now; null when it is.</summary>
    public static string? Fault(KeyPackage package, DateTimeOffset now)
    {
        if (package.CipherSuite != MarmotNumbers.CipherSuite)
        {
            return "it has another cipher suite";
        }

        if (package.Verify(now) is var error and not MlsError.None)
        {
            return $"it is not valid: {error}";
        }

        if (package.Leaf.Lifetime is var lifetime
            && (lifetime.NotAfter < lifetime.NotBefore || lifetime.NotAfter - lifetime.NotBefore > AdoptedKeyPackageEvent.MaxLifetimeSeconds))
        {
            return $"its lifetime is longer than {AdoptedKeyPackageEvent.MaxLifetimeSeconds} seconds";
        }

        return AdoptedLeaf.Fault(null, package.Leaf);
    }

    /// <summary>Reads an event and the key package in it; false with the rule it breaks.</summary>
    public static bool TryRead(NostrEvent evt, DateTimeOffset now, [NotNullWhen(true)] out KeyPackage? package, out string fault)
    {
        package = null;
        if (!AdoptedKeyPackageEvent.TryRead(evt, out var read, out var reason))
        {
            fault = reason.Text;
            return false;
        }

        if (!MlsMessage.TryRead(read.MlsMessage.Span, out var message, out var error) || message!.KeyPackage is not { } inside)
        {
            fault = $"the content is no key package ({error})";
            return false;
        }

        if (Fault(inside, now) is { } broken)
        {
            fault = broken;
            return false;
        }

        var leaf = inside.Leaf;
        if (!read.Agrees(inside.Reference(), leaf.Credential.Content, leaf.Capabilities.Extensions, leaf.Capabilities.Proposals,
            AdoptedLeaf.ComponentsOf(leaf)))
        {
            fault = "the tags do not say what the key package says";
            return false;
        }

        (package, fault) = (inside, string.Empty);
        return true;
    }

    /// <summary>The newest valid one of an account; null when there is none.</summary>
    public static (NostrEvent Event, KeyPackage Package)? Select(IEnumerable<NostrEvent> events, DateTimeOffset now)
    {
        foreach (var evt in events.OrderByDescending(evt => evt.CreatedAt).ThenBy(evt => evt.Id))
        {
            if (TryRead(evt, now, out var package, out _))
            {
                return (evt, package);
            }
        }

        return null;
    }
}
