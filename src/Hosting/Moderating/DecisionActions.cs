using System.Net;
using Marmot.Hosting.Callers;
using Marmot.Protocol.Addresses;
using Marmot.Protocol.Encoding;

namespace Marmot.Hosting.Moderating;

/// <summary>What can be decided about keys, events, blobs and addresses, and how a target is written: hex or NIP-19 in, hex in the state.</summary>
public static class DecisionActions
{
    /// <summary>Longest reason kept, characters.</summary>
    public const int MaxReason = 1000;

    private const string KeyExpected = "expected a public key: npub or 64 hex digits";

    /// <summary>All of them.</summary>
    public static IReadOnlyList<string> Names { get; } =
    [
        "ban-key", "unban-key", "ban-event", "unban-event", "ban-blob", "unban-blob", "block-address", "unblock-address", "allow-key", "unallow-key",
            "allow-name", "unallow-name",
    ];

    /// <summary>Checks a target.</summary>
    /// <param name="action">One of <see cref="Names"/>.</param>
    /// <param name="text">As the operator wrote it.</param>
    /// <returns>As it stands in the state.</returns>
    /// <exception cref="ArgumentException">It is no target of that action; the message is for the operator.</exception>
    public static string ReadTarget(string action, string text)
    {
        ArgumentNullException.ThrowIfNull(action);
        text = (text ?? "").Trim();
        return action switch
        {
            "ban-key" or "unban-key" or "allow-key" or "unallow-key" =>
                TryReadKey(text, out var key) ? key.ToString() : throw new ArgumentException(KeyExpected),
            "ban-event" or "unban-event" =>
                TryReadEvent(text, out var id) ? id.ToString() : throw new ArgumentException("expected an event: note, nevent or 64 hex digits"),
            "ban-blob" or "unban-blob" => Bytes32.TryParseHex(text.ToLowerInvariant(), out var hash) ? hash.ToString()
                : throw new ArgumentException("expected the SHA-256 of a blob: 64 hex digits"),
            "block-address" or "unblock-address" =>
                IPAddress.TryParse(text, out var address) ? CallerAddress.Unmapped(address).ToString() : throw new ArgumentException("expected an IP address"),
            "allow-name" or "unallow-name" =>
                IsName(text) ? text.ToLowerInvariant() : throw new ArgumentException("expected a domain or a NIP-05 name: example.org or alice@example.org"),
            _ => throw new ArgumentException($"unknown action '{action}'"),
        };
    }

    /// <summary>A public key as npub, nprofile or hex.</summary>
    public static bool TryReadKey(string text, out Bytes32 key)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (Nip19.TryDecodePublicKeyOrHex(text, out key) || Bytes32.TryParseHex(text.ToLowerInvariant(), out key))
        {
            return true;
        }

        if (Nip19.TryDecodeProfile(text, out var profile))
        {
            key = profile.PublicKey;
            return true;
        }

        return false;
    }

    /// <summary>An event id as note, nevent or hex.</summary>
    public static bool TryReadEvent(string text, out Bytes32 id)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (Nip19.TryDecodeNote(text, out id) || Bytes32.TryParseHex(text.ToLowerInvariant(), out id))
        {
            return true;
        }

        if (Nip19.TryDecodeEvent(text, out var reference))
        {
            id = reference.Id;
            return true;
        }

        return false;
    }

    /// <summary>A domain with an optional port, or a NIP-05 name of one.</summary>
    public static bool IsName(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var at = text.IndexOf('@', StringComparison.Ordinal);
        var local = at < 0 ? "_" : text[..at];
        var domain = text[(at + 1)..];
        return local.Length > 0 && local.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.')
            && (domain.Contains('.', StringComparison.Ordinal) || domain.StartsWith("localhost", StringComparison.OrdinalIgnoreCase))
                && HostName.TryParseWithPort(domain, out _, out _);
    }

    internal static ModerationState Apply(ModerationState state, string action, string target, string reason) => action switch
    {
        "ban-key" => state with { BannedKeys = With(state.BannedKeys, target, reason), AllowedKeys = Without(state.AllowedKeys, target) },
        "unban-key" => state with { BannedKeys = Without(state.BannedKeys, target) },
        "allow-key" => state with { AllowedKeys = With(state.AllowedKeys, target, reason), BannedKeys = Without(state.BannedKeys, target) },
        "unallow-key" => state with { AllowedKeys = Without(state.AllowedKeys, target) },
        "ban-event" => state with { BannedEvents = With(state.BannedEvents, target, reason) },
        "unban-event" => state with { BannedEvents = Without(state.BannedEvents, target) },
        "ban-blob" => state with { BannedBlobs = With(state.BannedBlobs, target, reason) },
        "unban-blob" => state with { BannedBlobs = Without(state.BannedBlobs, target) },
        "block-address" => state with { BlockedAddresses = With(state.BlockedAddresses, target, reason) },
        "unblock-address" => state with { BlockedAddresses = Without(state.BlockedAddresses, target) },
        "allow-name" => state with { AllowedNames = With(state.AllowedNames, target, reason) },
        "unallow-name" => state with { AllowedNames = Without(state.AllowedNames, target) },
        _ => throw new ArgumentException($"unknown action '{action}'"),
    };

    private static Dictionary<string, string> With(Dictionary<string, string> all, string key, string reason) => new(all) { [key] = reason };

    private static Dictionary<string, string> Without(Dictionary<string, string> all, string key) => all.Where(pair => pair.Key != key).ToDictionary();
}
