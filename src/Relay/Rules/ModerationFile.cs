using System.Text.Json;
using Marmot.Platform.Files;

namespace Marmot.Relay.Rules;

/// <summary>The operator's decisions in one file beside the store, replaced as a whole. One process has it.</summary>
/// <param name="directory">The relay's data directory.</param>
internal sealed class ModerationFile(string directory) : IModerationStore
{
    private static readonly JsonSerializerOptions Format = new() { WriteIndented = true };
    private readonly string _path = Path.Combine(directory, "management.json");

    public ValueTask<(long Version, ModerationState State)> ReadAsync(CancellationToken cancel)
    {
        var state = File.Exists(_path) ? JsonSerializer.Deserialize<ModerationState>(File.ReadAllBytes(_path), Format) : null;
        return new((0, state ?? new ModerationState()));
    }

    public ValueTask<bool> TryReplaceAsync(long version, ModerationState state, CancellationToken cancel)
    {
        Directory.CreateDirectory(directory);
        AtomicFile.Replace(_path, JsonSerializer.SerializeToUtf8Bytes(state, Format));
        return new(true);
    }
}
