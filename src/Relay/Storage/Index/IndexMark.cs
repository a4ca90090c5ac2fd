using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Marmot.Platform.Files;
using Marmot.Relay.Storage.Native;

namespace Marmot.Relay.Storage.Index;

/// <summary>Says whether the index files can be believed. They are not flushed while they are in use, so what is in them counts only where nothing but this
/// machine's memory can have lost it.</summary>
/// <remarks>
/// <para>
/// The mark is a file beside the index. After a proper end it says so, with the log's end; else it names the run that left it. That run is believed when the
/// machine has not restarted (boot id) and the pin, a file made anew at each opening, still is the very file it was: same inode, time of change, device and
/// mount. A copy has another time of change, a restored volume or a re-attached disk another mount (<see cref="FileIdentity"/>). Where the system cannot say so
/// much, nothing but a proper end is believed.
/// </para>
/// <para>A number that mark and index share tells when they are not of the same run, as after a part of a backup was put back. Every doubt means: the index is
/// built anew from the log.</para>
/// </remarks>
internal sealed class IndexMark
{
    // Of the key layouts (IndexKeys): an index of another version is made anew from the log.
    private const string Version = "3";
    private const string Clean = "clean";
    private const string Open = "open";
    private readonly string _path;
    private readonly string _pinPath;
    private readonly string _index;

    /// <param name="path">The mark.</param>
    /// <param name="index">The folder of the index.</param>
    public IndexMark(string path, string index)
    {
        _path = path;
        _pinPath = path + ".pin";
        _index = index;
        var words = File.Exists(path) ? File.ReadAllText(path).Split(' ') : [];
        if (words.Length == 4 && words[0] == Version)
        {
            Run = words[1];
            CleanEnd = words[2] == Clean && long.TryParse(words[3], NumberStyles.None, CultureInfo.InvariantCulture, out var end) ? end : 0;
            IsTrustworthy = words[2] == Clean || (words[2] == Open && words[3].Length > 0 && words[3] == Evidence());
        }
    }

    /// <summary>False when the index may lack what it once held.</summary>
    public bool IsTrustworthy { get; }

    /// <summary>The run that the mark is of; the index holds the same text.</summary>
    public string Run { get; private set; } = "";

    /// <summary>Where the log ended when the store was closed properly; 0 otherwise.</summary>
    public long CleanEnd { get; }

    /// <summary>Before the index is changed: until <see cref="Close"/> it is believed only as this run left it.</summary>
    public void Begin()
    {
        File.Delete(_pinPath);
        AtomicFile.Replace(_pinPath, []);
        Run = RandomNumberGenerator.GetHexString(16, lowercase: true);
        Write(Open, Evidence());
    }

    /// <summary>The index is not to be believed any more: it is made anew at the next start.</summary>
    public void Distrust() => File.Delete(_path);

    /// <summary>Notes the proper end; a full disk that takes no note leaves the index to be believed as after an end that was none.</summary>
    public void Close(long logEnd)
    {
        try
        {
            Write(Clean, logEnd.ToString(CultureInfo.InvariantCulture));
        }
        catch (IOException)
        {
        }
    }

    // Empty where the system cannot tell, and then an end that was none always means a rebuild.
    private string Evidence()
    {
        const string boot = "/proc/sys/kernel/random/boot_id";
        return File.Exists(boot) && FileIdentity.TryRead(_pinPath) is { } pin && FileIdentity.TryRead(Path.Combine(_index, "data.mdb")) is { } data
            ? $"{File.ReadAllText(boot).Trim()}|{pin}|{data[..data.LastIndexOf('/')]}" // the index itself changes; that it is this file does not
            : string.Empty;
    }

    private void Write(string state, string proof) => AtomicFile.Replace(_path, Encoding.UTF8.GetBytes($"{Version} {Run} {state} {proof}"));
}
