using System.Text;
using Marmot.Platform.Files;

namespace Marmot.Relay.Storage.Index;

/// <summary>Says whether the index files can be believed: they were closed properly, or the machine has not restarted since they were in use.</summary>
internal sealed class IndexMark(string path)
{
    // Of the key layouts (IndexKeys): an index of another version is made anew from the log.
    private const string Version = "2";
    private const string Clean = "clean";
    private readonly string _path = path;

    public bool IsTrustworthy()
    {
        if (!File.Exists(_path))
        {
            return false;
        }

        var parts = File.ReadAllText(_path).Split(' ');
        return parts.Length == 2 && parts[0] == Version && (parts[1] == Clean || (parts[1] == BootId() && parts[1].Length > 0));
    }

    public void Open() => Write(BootId());

    /// <summary>The index is not to be believed any more: it is made anew at the next start.</summary>
    public void Distrust() => File.Delete(_path);

    /// <summary>Notes the proper end; a full disk that takes no note leaves an index that is believed until the machine restarts, then made anew.</summary>
    public void Close()
    {
        try
        {
            Write(Clean);
        }
        catch (IOException)
        {
        }
    }

    // Where the system has no boot id an unclean end always means a rebuild.
    private static string BootId()
    {
        const string source = "/proc/sys/kernel/random/boot_id";
        return File.Exists(source) ? File.ReadAllText(source).Trim() : string.Empty;
    }

    private void Write(string state) => AtomicFile.Replace(_path, Encoding.UTF8.GetBytes($"{Version} {state}"));
}
