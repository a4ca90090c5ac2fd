using System.Net;
using System.Text.Json;
using Marmot.Hosting.Settings;
using Marmot.Protocol.Encoding;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Management;

/// <summary>What the operator decided while the relay ran (NIP-86); never changed in place. Values are reasons.</summary>
internal sealed record ModerationState
{
    public Dictionary<string, string> BannedKeys { get; init; } = [];

    /// <summary>Keys that count as if they stood in <see cref="RelayOptions.WriteAllowList"/>, where there is one.</summary>
    public Dictionary<string, string> AllowedKeys { get; init; } = [];

    public Dictionary<string, string> BannedEvents { get; init; } = [];

    public Dictionary<string, string> BlockedAddresses { get; init; } = [];

    /// <summary>Kinds taken although <see cref="RelayOptions.Kinds"/> would not.</summary>
    public SortedSet<int> AllowedKinds { get; init; } = [];

    public SortedSet<int> DisallowedKinds { get; init; } = [];

    public string? Name { get; init; }

    public string? Description { get; init; }

    public string? Icon { get; init; }
}

/// <summary>Keeps the operator's decisions: one file beside the store, replaced as a whole, read once at the start.</summary>
/// <remarks>Reads are free of locks; changes come one at a time.</remarks>
internal sealed class Moderation
{
    private static readonly JsonSerializerOptions Format = new() { WriteIndented = true };
    private readonly Lock _lock = new();
    private readonly string _path;
    private volatile Lists _lists;

    public Moderation(IOptions<StorageOptions> storage)
    {
        _path = Path.Combine(storage.Value.DataDirectory, RelayHosting.Folder, "management.json");
        var state = File.Exists(_path) ? JsonSerializer.Deserialize<ModerationState>(File.ReadAllBytes(_path), Format) : null;
        _lists = new Lists(state ?? new ModerationState());
    }

    public ModerationState State => _lists.State;

    public bool IsKeyBanned(in Bytes32 key) => _lists.Keys.Count > 0 && _lists.Keys.Contains(key);

    public bool IsKeyAllowed(in Bytes32 key) => _lists.Allowed.Count > 0 && _lists.Allowed.Contains(key);

    public bool IsEventBanned(in Bytes32 id) => _lists.Events.Count > 0 && _lists.Events.Contains(id);

    public bool IsBlocked(IPAddress? address) =>
        _lists.Addresses.Count > 0 && address is not null && _lists.Addresses.Contains(address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address);

    /// <summary>Replaces the decisions, on disk first.</summary>
    /// <exception cref="IOException">They could not be written; the old ones hold.</exception>
    public void Change(Func<ModerationState, ModerationState> change)
    {
        lock (_lock)
        {
            var state = change(_lists.State);
            Directory.CreateDirectory(Path.GetDirectoryName(_path)!);
            using (var file = new FileStream(_path + ".new", FileMode.Create, FileAccess.Write))
            {
                file.Write(JsonSerializer.SerializeToUtf8Bytes(state, Format));
                file.Flush(flushToDisk: true);
            }

            File.Move(_path + ".new", _path, overwrite: true);
            _lists = new Lists(state);
        }
    }

    private sealed class Lists(ModerationState state)
    {
        public ModerationState State { get; } = state;

        public HashSet<Bytes32> Keys { get; } = [.. state.BannedKeys.Keys.Select(Bytes32.ParseHex)];

        public HashSet<Bytes32> Allowed { get; } = [.. state.AllowedKeys.Keys.Select(Bytes32.ParseHex)];

        public HashSet<Bytes32> Events { get; } = [.. state.BannedEvents.Keys.Select(Bytes32.ParseHex)];

        public HashSet<IPAddress> Addresses { get; } = [.. state.BlockedAddresses.Keys.Select(IPAddress.Parse)];
    }
}
