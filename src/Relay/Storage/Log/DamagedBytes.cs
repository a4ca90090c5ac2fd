using System.Globalization;

namespace Marmot.Relay.Storage.Log;

/// <summary>Keeps the bytes of the log that were found damaged, one file each, for the operator: what can be made of them is for people to decide.</summary>
/// <remarks>
/// The files are what is counted, so that damage stays visible over restarts until the operator has looked and deleted them. What an interrupted write left is
/// kept too, the newest <see cref="MaxTorn"/>, and not counted. Thread-safe. A disk that takes no copy leaves the damage counted for as long as the process
/// runs.
/// </remarks>
internal sealed class DamagedBytes(string folder, ILogger log)
{
    private const int MaxFiles = 1000;
    private const int MaxTorn = 8;
    private const string DamagedName = ".damaged";
    private const string TornName = ".torn";
    private readonly Lock _lock = new();
    private readonly HashSet<string> _known = Directory.Exists(folder)
        ? [.. Directory.EnumerateFiles(folder, "*" + DamagedName).Select(path => Path.GetFileName(path))]
        : [];

    private int _count = -1; // -1: nothing changed since the start

    public string Folder => folder;

    /// <summary>Damaged places found and not yet dealt with.</summary>
    public int Count => Volatile.Read(ref _count) is var count and >= 0 ? count : _known.Count;

    /// <summary>Keeps the bytes of one place and says so in the log; what is known already is left alone.</summary>
    public void Keep(LogDamage damage, byte[] bytes)
    {
        var name = damage.Position.ToString("D15", CultureInfo.InvariantCulture) + (damage.IsTorn ? TornName : DamagedName);
        lock (_lock)
        {
            if (damage.IsTorn)
            {
                log.TornWrite(damage.Position, damage.Length, folder);
                Write(name, bytes);
                KeepNewestTorn();
            }
            else if (_known.Add(name))
            {
                Volatile.Write(ref _count, _known.Count);
                log.DamagedRecord(damage.Position, damage.Length, folder);
                if (_known.Count <= MaxFiles)
                {
                    Write(name, bytes);
                }
            }
        }
    }

    /// <summary>The record at a position was removed, so no copy of its bytes is kept either.</summary>
    public void Forget(long position)
    {
        if (Count == 0)
        {
            return;
        }

        var name = position.ToString("D15", CultureInfo.InvariantCulture) + DamagedName;
        lock (_lock)
        {
            if (_known.Remove(name))
            {
                Volatile.Write(ref _count, _known.Count);
                File.Delete(Path.Combine(folder, name));
            }
        }
    }

    private void Write(string name, byte[] bytes)
    {
        try
        {
            Platform.Files.Folders.CreateOwnerOnly(folder);
            Platform.Files.AtomicFile.Replace(Path.Combine(folder, name), bytes, Platform.Files.FileModes.OwnerOnlyFile);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            log.DamageNotKept(exception.Message);
        }
    }

    private void KeepNewestTorn()
    {
        if (Directory.Exists(folder))
        {
            foreach (var old in new DirectoryInfo(folder).EnumerateFiles("*" + TornName).OrderByDescending(file => file.LastWriteTimeUtc).Skip(MaxTorn))
            {
                old.Delete();
            }
        }
    }
}
