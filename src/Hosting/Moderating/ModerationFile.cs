using System.Text.Json;
using Marmot.Platform.Files;

namespace Marmot.Hosting.Moderating;

/// <summary>The operator's decisions in one file of the data folder, replaced as a whole. Several processes may have it: the roles of one machine, and a
/// command.</summary>
public sealed class ModerationFile : IModerationStore
{
    private const string FileName = "management.json";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(20);
    private static readonly JsonSerializerOptions Format = new() { WriteIndented = true };
    private readonly string _path;
    private readonly string _olderPath;
    private (DateTime WrittenAt, long Length, long Version, ModerationState State)? _read;

    /// <param name="dataDirectory"><c>Storage:DataDirectory</c>.</param>
    public ModerationFile(string dataDirectory)
    {
        _path = Path.Combine(dataDirectory, FileName);
        _olderPath = Path.Combine(dataDirectory, "relay", FileName); // where it was while only the relay knew of it
    }

    /// <inheritdoc/>
    public ValueTask<(long Version, ModerationState State)> ReadAsync(CancellationToken cancel)
    {
        var file = new FileInfo(_path);
        if (_read is { } known && file.Exists && file.LastWriteTimeUtc == known.WrittenAt && file.Length == known.Length)
        {
            return new((known.Version, known.State)); // looked at every second: one question to the file system
        }

        var state = Read();
        if (file.Exists)
        {
            _read = (file.LastWriteTimeUtc, file.Length, state.Version, state);
        }

        return new((state.Version, state));
    }

    /// <inheritdoc/>
    public async ValueTask<bool> TryReplaceAsync(long version, ModerationState state, CancellationToken cancel)
    {
        Folders.CreateOwnerOnly(Path.GetDirectoryName(_path)!);
        using var held = await LockAsync(cancel);
        if (Read().Version != version)
        {
            return false;
        }

        AtomicFile.Replace(_path, JsonSerializer.SerializeToUtf8Bytes(state with { Version = version + 1 }, Format));
        return true;
    }

    private ModerationState Read()
    {
        var path = File.Exists(_path) ? _path : _olderPath;
        try
        {
            return File.Exists(path) ? JsonSerializer.Deserialize<ModerationState>(File.ReadAllBytes(path), Format)! : new ModerationState();
        }
        catch (JsonException exception)
        {
            throw new IOException($"{path} holds no decisions: {exception.Message}", exception);
        }
    }

    private async Task<FileStream> LockAsync(CancellationToken cancel)
    {
        for (var waited = TimeSpan.Zero; ; waited += Pause)
        {
            try
            {
                return new FileStream(_path + ".lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (waited < Patience)
            {
                await Task.Delay(Pause, cancel); // another process replaces it
            }
        }
    }
}
