using System.Diagnostics.CodeAnalysis;
using Marmot.Hosting.Settings;
using Marmot.Protocol.Encoding;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Marmot.Hosting.Moderating;

/// <summary>The one allow list for relay and Blossom: <c>Public:AllowListFile</c>, read again when it changes, and what the operator allowed while the
/// servers ran.</summary>
/// <remarks>An entry is an npub, 64 hex digits, a NIP-05 name or a domain, whose keys <see cref="AllowedNames"/> asks for. Thread-safe; asking is a look into
/// sets.</remarks>
public sealed class AllowList
{
    private readonly WatchedList<Entries> _file;
    private readonly Moderation _moderation;
    private volatile HashSet<Bytes32> _named = [];

    /// <summary>Reads the file.</summary>
    public AllowList(IOptions<PublicOptions> options, Moderation moderation, TimeProvider time, ILogger<AllowList> log)
    {
        ArgumentNullException.ThrowIfNull(options);
        _moderation = moderation;
        _file = new WatchedList<Entries>(options.Value.AllowListFile, new Entries([], []), Read, time, log);
    }

    /// <summary>True when there is a file: then only what stands in it, and what was allowed besides, may write.</summary>
    public bool IsSet => _file.IsSet;

    /// <summary>Whether a key is on it, or was allowed by a decision.</summary>
    public bool Contains(in Bytes32 key) => _file.Current.Keys.Contains(key) || _moderation.IsKeyAllowed(key) || _named.Contains(key);

    /// <summary>The names and domains to be asked for their keys.</summary>
    internal IReadOnlyCollection<string> Names => [.. _file.Current.Names.Concat(_moderation.State.AllowedNames.Keys).Distinct(StringComparer.Ordinal)];

    /// <summary>What the names stand for now.</summary>
    internal void SetNamed(HashSet<Bytes32> keys) => _named = keys;

    /// <summary>Reads a file as <see cref="Settings.PublicOptions.AllowListFile"/> describes it.</summary>
    /// <exception cref="InvalidDataException">It cannot be read, or a line is no entry.</exception>
    internal static (Entries List, int Count) Read(string path)
    {
        var lines = ListFile.Read<string>(path, TryReadLine, "an npub, 64 hex digits, a domain (example.org) or a name (alice@example.org)");
        var entries = new Entries([], []);
        foreach (var line in lines)
        {
            if (DecisionActions.TryReadKey(line, out var key))
            {
                entries.Keys.Add(key);
            }
            else
            {
                entries.Names.Add(line.ToLowerInvariant());
            }
        }

        return (entries, lines.Count);
    }

    private static bool TryReadLine(string text, [MaybeNullWhen(false)] out string entry)
    {
        entry = text;
        return DecisionActions.TryReadKey(text, out _) || DecisionActions.IsName(text);
    }

    /// <summary>What stands in the file.</summary>
    internal sealed record Entries(HashSet<Bytes32> Keys, HashSet<string> Names);
}
