namespace Marmot.Relay.Storage;

/// <summary>The files of one embedded store.</summary>
internal sealed class StorePaths(string directory)
{
    public string Log { get; } = Path.Combine(directory, "log");

    public string NewLog { get; } = Path.Combine(directory, "log.new");

    public string OldLog { get; } = Path.Combine(directory, "log.old");

    public string Index { get; } = Path.Combine(directory, "index");

    public string Mark { get; } = Path.Combine(directory, "index.mark");

    /// <summary>Bytes of the log that were found damaged, for the operator.</summary>
    public string Damaged { get; } = Path.Combine(directory, "damaged");

    public string Format { get; } = Path.Combine(directory, "format");

    public string Lock { get; } = Path.Combine(directory, "lock");

    /// <summary>Where a running relay takes its operator's commands.</summary>
    public string OperatorSocket { get; } = Path.Combine(directory, "operator.sock");

    /// <summary>Puts an interrupted compaction right: the old log counts until the new one has its place.</summary>
    public void Repair()
    {
        if (!Directory.Exists(Log) && Directory.Exists(OldLog))
        {
            Directory.Move(OldLog, Log);
        }

        foreach (var leftover in new[] { NewLog, OldLog })
        {
            if (Directory.Exists(leftover))
            {
                Directory.Delete(leftover, recursive: true);
            }
        }
    }
}
