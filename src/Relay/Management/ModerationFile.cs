using System.Text.Json;

namespace Marmot.Relay.Management;

/// <summary>The operator's decisions in one file beside the store, replaced as a whole. One process has it.</summary>
internal sealed class ModerationFile(string path) : IModerationStore
{
    private static readonly JsonSerializerOptions Format = new() { WriteIndented = true };

    public ValueTask<(long Version, ModerationState State)> ReadAsync(CancellationToken cancel)
    {
        var state = File.Exists(path) ? JsonSerializer.Deserialize<ModerationState>(File.ReadAllBytes(path), Format) : null;
        return new((0, state ?? new ModerationState()));
    }

    public ValueTask<bool> TryReplaceAsync(long version, ModerationState state, CancellationToken cancel)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        using (var file = new FileStream(path + ".new", FileMode.Create, FileAccess.Write))
        {
            file.Write(JsonSerializer.SerializeToUtf8Bytes(state, Format));
            file.Flush(flushToDisk: true);
        }

        File.Move(path + ".new", path, overwrite: true);
        return new(true);
    }
}
