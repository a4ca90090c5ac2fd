using System.Text;
using Marmot.Hosting.Redis;
using Microsoft.Extensions.Logging;

namespace Marmot.Hosting.Cluster;

/// <summary>The bus over Redis PUBLISH and SUBSCRIBE: one connection to send, one to listen, each back by itself.</summary>
public sealed class RedisBus : IClusterBus
{
    private readonly string _prefix;
    private readonly BusSubscriptions _subscriptions;
    private readonly BusCounter _counter;
    private readonly RedisClient _sender;
    private readonly RedisClient _listener;
    private readonly Lock _lock = new();
    private readonly HashSet<string> _unconfirmed = new(StringComparer.Ordinal);
    private volatile bool _isListening;

    /// <param name="endpoint">The server.</param>
    /// <param name="name">What sets this deployment's channels apart from others on the same server.</param>
    /// <param name="log">For the connections' comings and goings.</param>
    public RedisBus(RedisEndpoint endpoint, string name, ILogger log)
    {
        var self = BusFrame.NewSender();
        _prefix = name + ":bus:";
        _subscriptions = new BusSubscriptions(self);
        _counter = new BusCounter(self);
        _sender = new RedisClient(endpoint, log, onConnected: _ => SendGaps());
        _listener = new RedisClient(endpoint, log, OnPush, client => SubscribeAll(client));
    }

    /// <inheritdoc/>
    public bool IsConnected => _sender.IsConnected && _listener.IsConnected && _isListening;

    /// <inheritdoc/>
    public int MaxMessageBytes => 256 * 1024;

    /// <inheritdoc/>
    public IDisposable Subscribe(string channel, IClusterListener listener)
    {
        var leaving = _subscriptions.Add(channel, listener, isConnected: false);
        lock (_lock)
        {
            _unconfirmed.Add(channel);
            _isListening = false;
        }

        _listener.SendForPush(RespWriter.Word("SUBSCRIBE"), RespWriter.Word(_prefix + channel));
        return leaving;
    }

    /// <inheritdoc/>
    public void Publish(string channel, ReadOnlyMemory<byte> message)
    {
        // Under the lock: the numbers and the commands must have one order.
        lock (_lock)
        {
            Send(channel, _counter.Frame(channel, message.Span));
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _sender.DisposeAsync();
        await _listener.DisposeAsync();
    }

    private void Send(string channel, byte[] frame)
    {
        var sending = _sender.SendAsync(RespWriter.Word("PUBLISH"), RespWriter.Word(_prefix + channel), frame);
        _ = sending.ContinueWith(
            static (task, state) =>
            {
                var (bus, channel) = ((RedisBus, string))state!;
                if (!task.IsCompletedSuccessfully || task.Result.Kind == RespKind.Error)
                {
                    _ = task.Exception;
                    lock (bus._lock)
                    {
                        bus._counter.Dropped(channel);
                    }
                }
            },
            (this, channel),
            CancellationToken.None,
            TaskContinuationOptions.ExecuteSynchronously,
            TaskScheduler.Default);
    }

    private void SendGaps()
    {
        lock (_lock)
        {
            foreach (var (channel, frame) in _counter.TakeGaps())
            {
                Send(channel, frame);
            }
        }
    }

    private void SubscribeAll(RedisClient client)
    {
        var channels = _subscriptions.Channels;
        lock (_lock)
        {
            _isListening = channels.Count == 0;
            _unconfirmed.Clear();
            _unconfirmed.UnionWith(channels);
        }

        if (channels.Count > 0)
        {
            client.SendForPush([RespWriter.Word("SUBSCRIBE"), .. channels.Select(channel => RespWriter.Word(_prefix + channel))]);
        }
    }

    private void OnPush(RespValue push)
    {
        if (push.Kind != RespKind.Array || push.Items.Count != 3)
        {
            return;
        }

        var channel = Encoding.UTF8.GetString(push.Items[1].Bytes.Span);
        if (!channel.StartsWith(_prefix, StringComparison.Ordinal))
        {
            return;
        }

        channel = channel[_prefix.Length..];
        if (push.Items[0].Bytes.Span.SequenceEqual("message"u8))
        {
            _subscriptions.Take(channel, push.Items[2].Bytes);
        }
        else if (push.Items[0].Bytes.Span.SequenceEqual("subscribe"u8))
        {
            // From here on nothing is missed; what went before may be.
            _subscriptions.GapOn(channel);
            lock (_lock)
            {
                _unconfirmed.Remove(channel);
                _isListening = _unconfirmed.Count == 0;
            }
        }
    }
}
