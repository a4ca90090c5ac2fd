using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Text;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Marmot.Hosting.Cluster;

/// <summary>The bus over PostgreSQL LISTEN and NOTIFY, for deployments that have no Redis.</summary>
/// <remarks>
/// A notification holds 8,000 bytes and takes a lock of the whole server when it commits. So messages that wait are sent together: small
/// packs inside the notification, larger ones as the number of a row that the listeners fetch.
/// </remarks>
public sealed class PostgresBus : IClusterBus
{
    private const string Notification = "marmot_cluster";
    private const int MaxInline = 5600; // bytes; in base64 below the 8,000 of a notification
    private const int MaxPack = 1 << 20;
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(15);

    private readonly NpgsqlDataSource _source;
    private readonly ILogger _log;
    private readonly BusSubscriptions _subscriptions;
    private readonly BusCounter _counter;
    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _sending;
    private readonly Task _listening;
    private readonly Channel<(string Channel, byte[] Frame)> _outgoing = Channel.CreateBounded<(string, byte[])>(new BoundedChannelOptions(8192)
    {
        SingleReader = true,
    });
    private volatile bool _isListening;
    private volatile bool _canSend = true;
    private int _isDisposed;

    /// <param name="connectionString">The database that the replicas share.</param>
    /// <param name="log">For the connections' comings and goings.</param>
    public PostgresBus(string connectionString, ILogger log)
    {
        var settings = new NpgsqlConnectionStringBuilder(connectionString) { MaxPoolSize = 4, KeepAlive = 10, MaxAutoPrepare = 10, AutoPrepareMinUsages = 2 };
        settings.ApplicationName ??= "marmot-cluster";
        _source = NpgsqlDataSource.Create(settings);
        _log = log;
        var self = BusFrame.NewSender();
        _subscriptions = new BusSubscriptions(self);
        _counter = new BusCounter(self);
        _sending = Task.Run(() => RepeatAsync(SendAllAsync));
        _listening = Task.Run(() => RepeatAsync(ListenAsync));
    }

    /// <inheritdoc/>
    public bool IsConnected => _isListening && _canSend;

    /// <inheritdoc/>
    public string? Trouble => IsConnected ? null : "PostgreSQL cannot be asked";

    /// <inheritdoc/>
    public int MaxMessageBytes => MaxInline / 2; // larger ones cost a row and a fetch: a hint is better

    /// <inheritdoc/>
    public IDisposable Subscribe(string channel, IClusterListener listener) => _subscriptions.Add(channel, listener, _isListening);

    /// <inheritdoc/>
    public void Publish(string channel, ReadOnlyMemory<byte> message)
    {
        lock (_lock)
        {
            if (!_outgoing.Writer.TryWrite((channel, _counter.Frame(channel, message.Span))))
            {
                _counter.Dropped(channel);
            }
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) == 0)
        {
            await _stop.CancelAsync();
            await _sending;
            await _listening;
            await _source.DisposeAsync();
            _stop.Dispose();
        }
    }

    // Until stopped, with growing and random pauses between failures.
    private async Task RepeatAsync(Func<Action, Task> work)
    {
        var pause = FirstPause;
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                await PostgresTables.EnsureAsync(_source, _stop.Token);
                await work(() => pause = FirstPause);
            }
            catch (Exception exception) when (!_stop.IsCancellationRequested)
            {
                // Whatever it is: a server that answers nonsense, or a message that is none, is tried again later.
                ClusterLog.Failed(_log, exception.GetType().Name);
            }
            catch (Exception)
            {
                return; // stopping
            }

            try
            {
                await Task.Delay(pause * (0.5 + (Random.Shared.NextDouble() / 2)), _stop.Token);
            }
            catch (OperationCanceledException)
            {
                return;
            }

            pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
        }
    }

    private async Task SendAllAsync(Action succeeded)
    {
        var pack = new MemoryStream();
        var channels = new HashSet<string>(StringComparer.Ordinal);
        var swept = Environment.TickCount64;
        for (var first = true; ; first = false)
        {
            if (!first)
            {
                await WaitForWorkAsync();
            }

            // Under the lock and in this order: a gap's number comes after those of the messages that still waited.
            lock (_lock)
            {
                while (pack.Length < MaxPack && _outgoing.Reader.TryRead(out var next))
                {
                    Append(pack, channels, next.Channel, next.Frame);
                }

                foreach (var (channel, frame) in _outgoing.Reader.Count == 0 ? _counter.TakeGaps() : [])
                {
                    Append(pack, channels, channel, frame);
                }
            }

            try
            {
                if (pack.Length > 0)
                {
                    await NotifyAsync(pack.GetBuffer().AsMemory(0, (int)pack.Length));
                }

                if (Environment.TickCount64 - swept > SweepInterval.TotalMilliseconds)
                {
                    swept = Environment.TickCount64;
                    await using var sweep = _source.CreateCommand("DELETE FROM cluster.messages WHERE sent_at < now() - interval '1 minute'");
                    await sweep.ExecuteNonQueryAsync(_stop.Token);
                }

                _canSend = true;
                succeeded();
            }
            catch
            {
                _canSend = false;
                lock (_lock)
                {
                    foreach (var channel in channels)
                    {
                        _counter.Dropped(channel);
                    }
                }

                throw;
            }

            pack.SetLength(0);
            channels.Clear();
        }
    }

    private async Task WaitForWorkAsync()
    {
        using var round = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        round.CancelAfter(SweepInterval);
        try
        {
            await _outgoing.Reader.WaitToReadAsync(round.Token);
        }
        catch (OperationCanceledException) when (!_stop.IsCancellationRequested)
        {
            // Nothing to send: time to sweep.
        }
    }

    private async Task NotifyAsync(ReadOnlyMemory<byte> pack)
    {
        if (pack.Length <= MaxInline)
        {
            await using var inline = _source.CreateCommand($"SELECT pg_notify('{Notification}', $1)");
            inline.Parameters.Add(new NpgsqlParameter<string> { TypedValue = "=" + Convert.ToBase64String(pack.Span) });
            await inline.ExecuteNonQueryAsync(_stop.Token);
            return;
        }

        await using var stored = _source.CreateCommand(
            $"WITH m AS (INSERT INTO cluster.messages (body) VALUES ($1) RETURNING id) SELECT pg_notify('{Notification}', id::text) FROM m");
        stored.Parameters.Add(new NpgsqlParameter<ReadOnlyMemory<byte>> { TypedValue = pack });
        await stored.ExecuteNonQueryAsync(_stop.Token);
    }

    private async Task ListenAsync(Action succeeded)
    {
        try
        {
            await using var connection = await _source.OpenConnectionAsync(_stop.Token);
            var notifications = new ConcurrentQueue<string>();
            connection.Notification += (_, notification) => notifications.Enqueue(notification.Payload);
            await using (var listen = new NpgsqlCommand("LISTEN " + Notification, connection))
            {
                await listen.ExecuteNonQueryAsync(_stop.Token);
            }

            _isListening = true;
            succeeded();
            _subscriptions.GapEverywhere();
            while (true)
            {
                while (notifications.TryDequeue(out var payload))
                {
                    await TakeAsync(payload);
                }

                await connection.WaitAsync(_stop.Token);
            }
        }
        finally
        {
            _isListening = false;
        }
    }

    private async Task TakeAsync(string payload)
    {
        byte[]? pack;
        if (payload.StartsWith('='))
        {
            pack = Convert.FromBase64String(payload[1..]);
        }
        else
        {
            await using var fetch = _source.CreateCommand("SELECT body FROM cluster.messages WHERE id = $1");
            fetch.Parameters.Add(new NpgsqlParameter<long> { TypedValue = long.Parse(payload, System.Globalization.CultureInfo.InvariantCulture) });
            pack = await fetch.ExecuteScalarAsync(_stop.Token) as byte[];
        }

        // A pack that is gone shows as a gap in the numbers of the next one.
        for (var rest = pack.AsMemory(); rest.Length > 0;)
        {
            var name = rest.Span[0];
            var length = BinaryPrimitives.ReadInt32BigEndian(rest.Span[(1 + name)..]);
            _subscriptions.Take(Encoding.UTF8.GetString(rest.Span.Slice(1, name)), rest.Slice(5 + name, length));
            rest = rest[(5 + name + length)..];
        }
    }

    // One byte of length and the channel, four of length and the frame.
    private static void Append(MemoryStream pack, HashSet<string> channels, string channel, byte[] frame)
    {
        channels.Add(channel);
        var name = Encoding.UTF8.GetBytes(channel);
        pack.WriteByte((byte)name.Length);
        pack.Write(name);
        Span<byte> length = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(length, frame.Length);
        pack.Write(length);
        pack.Write(frame);
    }
}
