using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Marmot.Terminal;

namespace Marmot.AllInOne;

/// <summary><c>marmot-server import-config transponder|strfry FILE</c>: our settings for those of another server, as JSON for <c>--config</c>. What has no
/// counterpart is named on standard
/// error.</summary>
internal static class ConfigImport
{
    private static readonly JsonSerializerOptions Indented = new()
    {
        WriteIndented = true,
        Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping
    };

    internal static Command CreateCommand()
    {
        var server = Define.WordOf("SERVER", "whose settings they are", "transponder", "strfry");
        var file = Define.Word("FILE", "its settings");
        var command = new Command("import-config",
            "print our settings for those of another server as JSON for --config; what has no counterpart is named on standard error")
        {
            server, file,
        };
        command.SetAction((words, _) => RunAsync(words.GetRequiredValue(server), words.GetRequiredValue(file)));
        return command;
    }

    private static async Task<int> RunAsync(string server, string path)
    {
        try
        {
            var text = await File.ReadAllTextAsync(path);
            var (settings, notes) = server == "strfry" ? FromStrfry(ReadBraces(text)) : FromTransponder(ReadToml(text));
            Console.WriteLine(settings.ToJsonString(Indented));
            foreach (var note in notes)
            {
                await Console.Error.WriteLineAsync(note);
            }

            return ExitCodes.Done;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or FormatException)
        {
            await Console.Error.WriteLineAsync($"import-config: {exception.Message}");
            return ExitCodes.Failed;
        }
    }

    /// <summary>Settings in the form of strfry.conf: sections in braces, <c>key = value</c>, comments after <c>#</c>.</summary>
    /// <returns>Values by dotted path.</returns>
    /// <exception cref="FormatException">A line is neither.</exception>
    internal static Dictionary<string, string[]> ReadBraces(string text)
    {
        var values = new Dictionary<string, string[]>(StringComparer.Ordinal);
        var path = new List<string>();
        foreach (var (line, number) in Lines(text))
        {
            if (line == "}")
            {
                path.RemoveAt(path.Count > 0 ? path.Count - 1 : throw new FormatException($"line {number}: a brace too many"));
            }
            else if (line.EndsWith('{'))
            {
                path.Add(line[..^1].Trim());
            }
            else
            {
                Take(values, string.Join('.', path), line, number);
            }
        }

        return values;
    }

    /// <summary>Settings in the part of TOML that transponder's file uses: <c>[section]</c>, strings, numbers, booleans, arrays of strings.</summary>
    /// <returns>Values by dotted path.</returns>
    /// <exception cref="FormatException">A line is neither.</exception>
    internal static Dictionary<string, string[]> ReadToml(string text)
    {
        var values = new Dictionary<string, string[]>(StringComparer.Ordinal);
        var section = "";
        var open = "";
        foreach (var (line, number) in Lines(text))
        {
            open += line;
            if (open.Contains('[', StringComparison.Ordinal) && open.Contains('=', StringComparison.Ordinal) && !open.EndsWith(']'))
            {
                continue; // an array over several lines
            }

            if (open.StartsWith('[') && open.EndsWith(']'))
            {
                section = open[1..^1].Trim();
            }
            else
            {
                Take(values, section, open, number);
            }

            open = "";
        }

        return values;
    }

    private static IEnumerable<(string Line, int Number)> Lines(string text)
    {
        var number = 0;
        foreach (var raw in text.Split('\n'))
        {
            number++;
            var line = WithoutComment(raw).Trim();
            if (line.Length > 0)
            {
                yield return (line, number);
            }
        }
    }

    // A # inside quotes is part of the value.
    private static string WithoutComment(string line)
    {
        var isQuoted = false;
        for (var i = 0; i < line.Length; i++)
        {
            isQuoted ^= line[i] == '"';
            if (line[i] == '#' && !isQuoted)
            {
                return line[..i];
            }
        }

        return line;
    }

    private static void Take(Dictionary<string, string[]> values, string path, string line, int number)
    {
        var at = line.IndexOf('=', StringComparison.Ordinal);
        if (at <= 0)
        {
            throw new FormatException($"line {number}: expected key = value");
        }

        var value = line[(at + 1)..].Trim();
        string[] items = value.StartsWith('[')
            ? [.. value.Trim('[', ']').Split(',').Select(item => item.Trim().Trim('"')).Where(item => item.Length > 0)]
            : [value.Trim('"')];
        values[path.Length > 0 ? $"{path}.{line[..at].Trim()}" : line[..at].Trim()] = items;
    }

    private static (JsonObject Settings, List<string> Notes) FromStrfry(Dictionary<string, string[]> theirs)
    {
        var import = new Import(theirs);
        var port = import.Text("relay.port") ?? "7777";
        import.Set("Public:Urls", $"http://{import.Text("relay.bind") ?? "127.0.0.1"}:{port}");
        import.Copy("relay.info.name", "Relay:Name");
        import.Copy("relay.info.description", "Relay:Description");
        import.Copy("relay.info.pubkey", "Relay:PublicKey");
        import.Copy("relay.info.contact", "Relay:Contact");
        import.Number("relay.maxWebsocketPayloadSize", "Relay:MaxMessageBytes");
        import.Seconds("relay.autoPingSeconds", "Relay:PingInterval");
        import.Number("relay.maxFilterLimit", "Relay:MaxLimit");
        import.Number("relay.maxSubsPerConnection", "Relay:MaxSubscriptions");
        import.Number("relay.maxReqFilterSize", "Relay:MaxFilters");
        import.Number("relay.negentropy.maxSyncEvents", "Relay:MaxSyncEvents");
        import.Copy("relay.writePolicy.plugin", "Relay:WritePolicyProgram");
        import.Seconds("events.rejectEventsNewerThanSeconds", "Relay:MaxFuture");
        import.Number("events.maxNumTags", "Relay:MaxTags");
        if (import.Text("relay.compression.enabled") == "false")
        {
            import.Set("Relay:Compression", "Off");
        }

        if (import.Text("db") is { } folder)
        {
            import.Note($"db = {folder}: the events come over with 'strfry export | marmot-server relay import'");
        }

        return import.Finish();
    }

    private static (JsonObject Settings, List<string> Notes) FromTransponder(Dictionary<string, string[]> theirs)
    {
        const string App = "Notify:Apps:0:";
        var import = new Import(theirs);
        import.Set(App + "Name", "default");
        import.Copy("server.private_key_file", App + "KeyFile");
        if (import.Text("server.private_key") is not null)
        {
            import.Note($"server.private_key: put the key into a file of mode 0600 and name it in {App}KeyFile");
        }

        import.Seconds("server.shutdown_timeout_secs", "Notify:DrainTimeout");
        import.Number("server.device_token_rate_limit_per_minute", "Notify:DeviceHintsPerMinute");
        import.Number("server.device_token_rate_limit_per_hour", "Notify:DeviceHintsPerHour");
        import.Number("server.max_rate_limit_cache_size", "Notify:LimiterCapacity");
        import.Number("server.max_dedup_cache_size", "Notify:ReplayCapacity");
        import.CopyAll("relays.clearnet", "Notify:Relays");
        import.Flag("relays.allow_unencrypted_clearnet_relays", "Notify:AllowPlaintextRelays");
        if (import.All("relays.onion") is { Length: > 0 } onion)
        {
            import.Note($"relays.onion: {onion.Length} onion services are left out; this server has no proxy for them");
        }

        if (import.Text("apns.enabled") == "true")
        {
            import.Copy("apns.private_key_path", App + "Apns:KeyFile");
            import.Copy("apns.key_id", App + "Apns:KeyId");
            import.Copy("apns.team_id", App + "Apns:TeamId");
            import.Copy("apns.bundle_id", App + "Apns:Topic");
            import.Copy("apns.environment", App + "Apns:Environment");
            import.Set(App + "Apns:Mode", import.Text("apns.payload_mode") is null or "silent" ? "Silent" : "Mutable");
        }

        if (import.Text("fcm.enabled") == "true")
        {
            import.Copy("fcm.service_account_path", App + "Fcm:ServiceAccountFile");
            import.Copy("fcm.project_id", App + "Fcm:ProjectId");
        }

        if (import.Text("health.bind_address") is { } admin)
        {
            import.Set("Admin:Urls", "http://" + admin);
        }

        if (import.Text("logging.level") is { } level)
        {
            import.Set("Log:Level",
                level switch { "trace" => "Verbose", "debug" => "Debug", "warn" => "Warning", "error" => "Error", "off" => "Fatal", _ => "Information" });
        }

        if (import.Text("logging.format") is { } format)
        {
            import.Set("Log:Format", format == "json" ? "Json" : "Text");
        }

        return import.Finish();
    }

    /// <summary>Their values, ours, and what was not used.</summary>
    private sealed class Import(Dictionary<string, string[]> theirs)
    {
        private readonly JsonObject _ours = [];
        private readonly HashSet<string> _used = new(StringComparer.Ordinal);
        private readonly List<string> _notes = [];

        public string[]? All(string name)
        {
            _used.Add(name);
            return theirs.GetValueOrDefault(name);
        }

        /// <summary>Null when it is not there, empty, or says that it is not set.</summary>
        public string? Text(string name) => All(name) is [{ Length: > 0 } value] && value != "unset" ? value : null;

        public void Note(string text) => _notes.Add(text);

        public void Copy(string theirName, string ourName)
        {
            if (Text(theirName) is { } value)
            {
                Set(ourName, value);
            }
        }

        public void CopyAll(string theirName, string ourName)
        {
            foreach (var (at, value) in (All(theirName) ?? []).Index())
            {
                Set($"{ourName}:{at.ToString(CultureInfo.InvariantCulture)}", value);
            }
        }

        public void Flag(string theirName, string ourName)
        {
            if (Text(theirName) is { } value)
            {
                Set(ourName, value == "true");
            }
        }

        public void Number(string theirName, string ourName)
        {
            if (Text(theirName) is { } value)
            {
                Set(ourName, long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number
                    : throw new FormatException($"{theirName}: expected a number"));
            }
        }

        public void Seconds(string theirName, string ourName)
        {
            if (Text(theirName) is { } value)
            {
                Set(ourName, int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds)
                    ? TimeSpan.FromSeconds(seconds).ToString("c", CultureInfo.InvariantCulture)
                    : throw new FormatException($"{theirName}: expected seconds"));
            }
        }

        public void Set(string name, JsonNode value)
        {
            var parts = name.Split(':');
            var at = _ours;
            foreach (var part in parts[..^1])
            {
                at = (at[part] ??= new JsonObject()).AsObject();
            }

            at[parts[^1]] = value;
        }

        public (JsonObject Settings, List<string> Notes) Finish()
        {
            _notes.AddRange(theirs.Keys.Where(name => !_used.Contains(name)).Order(StringComparer.Ordinal).Select(name => $"{name}: no counterpart here"));
            return (_ours, _notes);
        }
    }
}
