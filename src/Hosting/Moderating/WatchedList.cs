using Microsoft.Extensions.Logging;

namespace Marmot.Hosting.Moderating;

/// <summary>A list file that is read again when it changes, without a restart. Looked at by whoever asks, at most once a second: nobody asks, nothing is
/// done.</summary>
/// <remarks>A file that is gone or has a mistake in it changes nothing: the list read before stays, and the log says why. Thread-safe.</remarks>
/// <typeparam name="T">What the list becomes.</typeparam>
public sealed class WatchedList<T>
    where T : class
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);
    private readonly string _path;
    private readonly string _name;
    private readonly Func<string, (T List, int Count)> _read;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly Lock _looking = new();
    private volatile T _list;
    private (DateTime WrittenAt, long Length) _known;
    private long _nextTicks;

    /// <param name="path">The file; empty for none, and the list stays empty.</param>
    /// <param name="empty">The list without a file.</param>
    /// <param name="read">Reads it; a mistake is an <see cref="InvalidDataException"/>.</param>
    /// <param name="time">The clock.</param>
    /// <param name="log">Hears of changes.</param>
    /// <exception cref="InvalidDataException">The file cannot be used as it is at the start.</exception>
    public WatchedList(string path, T empty, Func<string, (T List, int Count)> read, TimeProvider time, ILogger log)
    {
        ArgumentNullException.ThrowIfNull(path);
        ArgumentNullException.ThrowIfNull(read);
        (_path, _name, _list, _read, _time, _log) = (path, Path.GetFileName(path), empty, read, time, log);
        if (path.Length > 0)
        {
            _known = State();
            _list = read(path).List;
            _nextTicks = (time.GetUptime() + Interval).Ticks;
        }
    }

    /// <summary>True when there is a file.</summary>
    public bool IsSet => _path.Length > 0;

    /// <summary>The list as the file says now, or a second ago.</summary>
    public T Current
    {
        get
        {
            if (_path.Length > 0 && _time.GetUptime().Ticks >= Volatile.Read(ref _nextTicks))
            {
                Look();
            }

            return _list;
        }
    }

    private void Look()
    {
        if (!_looking.TryEnter())
        {
            return; // somebody else does
        }

        try
        {
            Volatile.Write(ref _nextTicks, (_time.GetUptime() + Interval).Ticks);
            var state = State();
            if (state == _known)
            {
                return;
            }

            _known = state;
            var (list, count) = _read(_path);
            _list = list;
            ModeratingLog.ListRead(_log, _name, count);
        }
        catch (InvalidDataException mistake)
        {
            ModeratingLog.ListRefused(_log, _name, mistake.Message);
        }
        finally
        {
            _looking.Exit();
        }
    }

    private (DateTime WrittenAt, long Length) State()
    {
        var file = new FileInfo(_path);
        return file.Exists ? (file.LastWriteTimeUtc, file.Length) : default;
    }
}
