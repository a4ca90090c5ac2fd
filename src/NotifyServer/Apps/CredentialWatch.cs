namespace Marmot.NotifyServer.Apps;

/// <summary>Says when one of the files it was shown has changed, by time and length, following links as mounted secrets are exchanged by them.</summary>
internal sealed class CredentialWatch
{
    private readonly Dictionary<string, (DateTime Written, long Length)> _known = [];

    /// <summary>True when a file was changed, came or went since the last call; the first call of a file is no change.</summary>
    public bool HasChanged(IEnumerable<string> files)
    {
        var changed = false;
        foreach (var file in files)
        {
            var state = Look(file);
            changed |= _known.TryGetValue(file, out var before) && before != state;
            _known[file] = state;
        }

        return changed;
    }

    private static (DateTime Written, long Length) Look(string file)
    {
        try
        {
            var entry = new FileInfo(file);
            var target = entry.ResolveLinkTarget(returnFinalTarget: true) as FileInfo ?? entry;
            return target.Exists ? (target.LastWriteTimeUtc, target.Length) : default;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return default; // gone, or not ours to see: a change if it was there before
        }
    }
}
