function Get-DhcpFailoverSnapshot {
    <#
    .SYNOPSIS
    Reads what this DHCP server knows about failover and writes it as JSON documents.

    .DESCRIPTION
    Read-only. Asks the local server alone, never its partner: a remote session has no credential to pass on.
    Every section asked for is answered by at least one document:

        {"contract":1,"section":"scopes","part":1,"parts":1,"elapsed":0.2,"utc":"...","data":[...],"errors":[...]}
        {"contract":1,"section":"scopes","part":1,"parts":1,"elapsed":0.2,"utc":"...","error":{...}}

    "error" stands where nothing could be read, "errors" lists what is missing from "data". Property names are
    those of Windows, durations are seconds, times are UTC in ISO 8601, what is not set is null.

    .PARAMETER Section
    Sections to read: server, relationships, ports, scopes, statistics, counters, events, settings, firewall,
    configuration. A name that this version does not know is answered by the error UnknownSection.

    .PARAMETER ScopeId
    Restricts scopes, statistics and configuration to these scopes; configuration reads those in failover
    otherwise. A scope that does not exist any more is reported in "errors" and is missing from "data".

    .PARAMETER AfterEvent
    Record id of the newest event that the caller already has. Without it, events are the newest 50 changes
    of state: enough to date the states. The newest 50 changes of the configuration come in any case.

    .OUTPUTS
    System.String. JSON documents in ASCII, with at most 1,000 records each.

    .EXAMPLE
    Get-DhcpFailoverSnapshot -Section server, relationships

    .EXAMPLE
    Get-DhcpFailoverSnapshot -Section statistics -ScopeId 10.0.1.0, 10.0.2.0

    .EXAMPLE
    Get-DhcpFailoverSnapshot -Section events -AfterEvent 4711

    .NOTES
    Windows PowerShell 5.1. Needs the modules DhcpServer, NetSecurity, CimCmdlets and
    Microsoft.PowerShell.Management, .Utility and .Diagnostics.

    Command names carry their module, because a JEA endpoint shadows some of them with proxies. Every call has
    its own -ErrorAction, because preference variables do not reach the functions of another module. Types are
    those that ConstrainedLanguage allows, except in the ports section, so that such a server can at least say so.
    #>
    [CmdletBinding()]
    [OutputType([string])]
    param(
        [Parameter(Mandatory = $true)]
        [string[]] $Section,

        [string[]] $ScopeId = @(),

        [long] $AfterEvent = -1
    )

    $enteredUtc = [datetime]::UtcNow
    $recordsPerDocument = 1000

    #region JSON: the same bytes from every PowerShell, which ConvertTo-Json does not promise

    function ConvertTo-JsonString {
        param([string] $Text)
        $escaped = '[^ !#-\[\]-~]'
        if ($Text -cnotmatch $escaped) {
            return '"' + $Text + '"'
        }
        $characters = foreach ($character in $Text.ToCharArray()) {
            if ("$character" -cmatch $escaped) { '\u{0:x4}' -f [int] $character } else { "$character" }
        }
        return '"' + ($characters -join '') + '"'
    }

    function ConvertTo-JsonNumber {
        param($Number)
        # Through decimal: engines print the last digits of a double differently. NaN has no decimal.
        $decimal = $Number -as [decimal]
        if ($null -eq $decimal) { return 'null' }
        return $decimal.ToString('0.######', [cultureinfo]::InvariantCulture)
    }

    function ConvertTo-JsonText {
        param($Value)
        if ($null -eq $Value) { return 'null' }
        if ($Value -is [string]) { return ConvertTo-JsonString -Text $Value }
        # Most values are whole numbers, the same in every culture: spared a call each.
        if ($Value -is [int] -or $Value -is [uint32] -or $Value -is [long]) { return "$Value" }
        if ($Value -is [bool]) { return "$Value".ToLowerInvariant() }
        if ($Value -is [System.Collections.IDictionary]) {
            $members = foreach ($name in $Value.Keys) { '"' + $name + '":' + (ConvertTo-JsonText -Value $Value[$name]) }
            return '{' + ($members -join ',') + '}'
        }
        if ($Value -is [array]) {
            $items = foreach ($item in $Value) { ConvertTo-JsonText -Value $item }
            return '[' + ($items -join ',') + ']'
        }
        return ConvertTo-JsonNumber -Number $Value
    }

    #endregion

    #region Typed values: no culture, no formatted text

    function ConvertTo-Text {
        param($Value)
        if ("$Value" -eq '') { return $null }
        return "$Value"
    }

    function ConvertTo-TextList {
        param($Value)
        foreach ($item in $Value) {
            if ("$item" -ne '') { "$item" }
        }
    }

    function ConvertTo-Second {
        param($Duration)
        if ($null -eq $Duration) { return $null }
        return $Duration.TotalSeconds
    }

    function ConvertTo-LeaseSecond {
        param($Duration)
        $seconds = ConvertTo-Second -Duration $Duration
        # An unlimited lease is -1 s in the DHCP API, as an unsigned number 4294967295.
        if ($null -eq $seconds -or $seconds -lt 0 -or $seconds -ge 4294967295) { return $null }
        return $seconds
    }

    function ConvertTo-UtcText {
        param($Time)
        if ($null -eq $Time) { return $null }
        return $Time.ToUniversalTime().ToString('o')
    }

    #endregion

    #region Errors: classified by id and category, since messages are localised

    function ConvertTo-Failure {
        param($ErrorRecord)
        return [ordered] @{
            id       = ConvertTo-Text -Value $ErrorRecord.FullyQualifiedErrorId
            category = "$($ErrorRecord.CategoryInfo.Category)"
            message  = ConvertTo-Text -Value $ErrorRecord.Exception.Message
        }
    }

    function ConvertTo-ItemFailure {
        param($ErrorRecord, $Item)
        $failure = ConvertTo-Failure -ErrorRecord $ErrorRecord
        return [ordered] @{ item = $Item; id = $failure.id; category = $failure.category; message = $failure.message }
    }

    function ConvertTo-ScopeFailure {
        param($ErrorRecord)
        # The message names the scope in every language; nothing else in the record does.
        $item = $null
        if ("$($ErrorRecord.Exception.Message)" -match '\b\d{1,3}(\.\d{1,3}){3}\b') { $item = $Matches[0] }
        return ConvertTo-ItemFailure -ErrorRecord $ErrorRecord -Item $item
    }

    function Test-FailureCode {
        param($ErrorRecord, [string[]] $Code)
        return $Code -contains ("$($ErrorRecord.FullyQualifiedErrorId)" -split ',')[0]
    }

    function Get-ScopeFailure {
        # What "errors" says beside these records; throws where nothing could be read.
        param($Record, $Failure)
        $nothingRead = @($Record).Count -eq 0
        foreach ($errorRecord in $Failure) {
            # A slice of which every scope was deleted meanwhile (20005) is read: it is empty.
            $vanished = Test-FailureCode -ErrorRecord $errorRecord -Code 'DHCP 20005'
            if ($nothingRead -and -not $vanished) { throw $errorRecord }
            ConvertTo-ScopeFailure -ErrorRecord $errorRecord
        }
    }

    #endregion

    #region Sections: each returns data, and errors for what data lacks, or throws where nothing could be read

    function Get-WindowsVersion {
        $key = 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion'
        $version = Microsoft.PowerShell.Management\Get-ItemProperty -Path $key -ErrorAction Stop
        if ($null -eq $version.CurrentMajorVersionNumber) {
            return "$($version.CurrentVersion).$($version.CurrentBuildNumber)" # before Windows Server 2016
        }
        return @(
            $version.CurrentMajorVersionNumber, $version.CurrentMinorVersionNumber,
            $version.CurrentBuildNumber, $version.UBR
        ) -join '.'
    }

    function Get-ServerSection {
        $errors = @()
        $osVersion = $null
        try { $osVersion = Get-WindowsVersion }
        catch { $errors += ConvertTo-ItemFailure -ErrorRecord $_ -Item 'OSVersion' }
        $status = $null
        # The service manager answers administrators only.
        try { $status = (Microsoft.PowerShell.Management\Get-Service -Name 'DHCPServer' -ErrorAction Stop).Status }
        catch { $errors += ConvertTo-ItemFailure -ErrorRecord $_ -Item 'ServiceStatus' }
        return @{
            data   = [ordered] @{
                ComputerName  = [System.Environment]::MachineName
                OSVersion     = $osVersion
                PSVersion     = "$($PSVersionTable.PSVersion)"
                LanguageMode  = "$($ExecutionContext.SessionState.LanguageMode)"
                ServiceStatus = ConvertTo-Text -Value $status
                UtcNow        = ConvertTo-UtcText -Time $enteredUtc
            }
            errors = $errors
        }
    }

    function Get-Relationship {
        try { DhcpServer\Get-DhcpServerv4Failover -ErrorAction Stop }
        catch {
            # Builds differ in how they say that there is no relationship at all.
            if (-not (Test-FailureCode -ErrorRecord $_ -Code 'WIN32 259', 'DHCP 20115', 'DHCP 20116')) { throw }
        }
    }

    function Get-RelationshipSection {
        $data = foreach ($relationship in Get-Relationship) {
            [ordered] @{
                Name                = ConvertTo-Text -Value $relationship.Name
                PartnerServer       = ConvertTo-Text -Value $relationship.PartnerServer
                Mode                = ConvertTo-Text -Value $relationship.Mode
                State               = ConvertTo-Text -Value $relationship.State
                ServerRole          = ConvertTo-Text -Value $relationship.ServerRole
                ServerType          = ConvertTo-Text -Value $relationship.ServerType
                PrimaryServerName   = ConvertTo-Text -Value $relationship.PrimaryServerName
                SecondaryServerName = ConvertTo-Text -Value $relationship.SecondaryServerName
                PrimaryServerIP     = ConvertTo-Text -Value $relationship.PrimaryServerIP
                SecondaryServerIP   = ConvertTo-Text -Value $relationship.SecondaryServerIP
                LoadBalancePercent  = $relationship.LoadBalancePercent
                ReservePercent      = $relationship.ReservePercent
                MaxClientLeadTime   = ConvertTo-Second -Duration $relationship.MaxClientLeadTime
                StateSwitchInterval = ConvertTo-Second -Duration $relationship.StateSwitchInterval
                AutoStateTransition = $relationship.AutoStateTransition
                EnableAuth          = $relationship.EnableAuth
                ScopeId             = @(ConvertTo-TextList -Value $relationship.ScopeId)
            }
        }
        return @{ data = @($data); errors = @() }
    }

    function Get-PartnerAddress {
        param($Relationship)
        # The address that failover uses; the name may have been typed in any form.
        $address = $Relationship.PrimaryServerIP
        if ("$($Relationship.ServerType)" -eq 'PrimaryServer') { $address = $Relationship.SecondaryServerIP }
        if ("$address" -eq '') { $address = $Relationship.PartnerServer }
        return "$address"
    }

    function Start-PortConnection {
        param([string] $PartnerServer, [string] $Address)
        $client = [System.Net.Sockets.TcpClient]::new()
        return @{
            PartnerServer = $PartnerServer
            Address       = $Address
            Client        = $client
            StartedUtc    = [datetime]::UtcNow
            Task          = $client.ConnectAsync($Address, 647)
        }
    }

    function Get-ConnectionError {
        param($Task)
        if (-not $Task.IsCompleted) { return 'TimedOut' }
        if (-not $Task.IsFaulted) { return $null }
        switch ("$($Task.Exception.GetBaseException().SocketErrorCode)") {
            'ConnectionRefused' { return 'Refused' }
            'HostNotFound' { return 'NameNotFound' }
            'NoData' { return 'NameNotFound' }
            'TryAgain' { return 'NameNotFound' }
            '' { return 'Failed' }
            default { return $_ } # as .NET names it, such as HostUnreachable
        }
    }

    function Complete-PortConnection {
        param($Connection)
        $seconds = ([datetime]::UtcNow - $Connection.StartedUtc).TotalSeconds
        $failure = Get-ConnectionError -Task $Connection.Task
        $Connection.Client.Close()
        return [ordered] @{
            PartnerServer = $Connection.PartnerServer
            Address       = $Connection.Address
            Port          = 647
            Reachable     = $null -eq $failure
            Seconds       = $seconds
            Error         = $failure
        }
    }

    function Get-PortSection {
        $partners = [ordered] @{}
        foreach ($relationship in Get-Relationship) {
            $partners["$($relationship.PartnerServer)"] = Get-PartnerAddress -Relationship $relationship
        }
        $deadlineUtc = [datetime]::UtcNow.AddSeconds(4)
        # Started together: four seconds in all, however many partners are silent.
        $pending = @(foreach ($partner in $partners.Keys) {
                Start-PortConnection -PartnerServer $partner -Address $partners[$partner]
            })
        $data = while ($pending.Count -gt 0) {
            $milliseconds = [int] [math]::Max(0, ($deadlineUtc - [datetime]::UtcNow).TotalMilliseconds)
            $tasks = [System.Threading.Tasks.Task[]] @(foreach ($connection in $pending) { $connection.Task })
            $first = [System.Threading.Tasks.Task]::WaitAny($tasks, $milliseconds)
            $finished = $pending
            if ($first -ge 0) { $finished = @($pending[$first]) }
            foreach ($connection in $finished) { Complete-PortConnection -Connection $connection }
            $pending = @(foreach ($connection in $pending) { if ($finished -notcontains $connection) { $connection } })
        }
        return @{ data = @($data); errors = @() }
    }

    function Get-ScopeSection {
        param($Restriction)
        $scopes = @(DhcpServer\Get-DhcpServerv4Scope @Restriction -ErrorAction SilentlyContinue -ErrorVariable failures)
        $errors = @(Get-ScopeFailure -Record $scopes -Failure $failures)
        $data = foreach ($scope in $scopes) {
            [ordered] @{
                ScopeId        = ConvertTo-Text -Value $scope.ScopeId
                SubnetMask     = ConvertTo-Text -Value $scope.SubnetMask
                Name           = ConvertTo-Text -Value $scope.Name
                State          = ConvertTo-Text -Value $scope.State
                SuperscopeName = ConvertTo-Text -Value $scope.SuperscopeName
                LeaseDuration  = ConvertTo-LeaseSecond -Duration $scope.LeaseDuration
                StartRange     = ConvertTo-Text -Value $scope.StartRange
                EndRange       = ConvertTo-Text -Value $scope.EndRange
            }
        }
        return @{ data = @($data); errors = $errors }
    }

    function Get-StatisticSection {
        param($Restriction)
        $statistics = @(DhcpServer\Get-DhcpServerv4ScopeStatistics @Restriction -Failover `
                -ErrorAction SilentlyContinue -ErrorVariable failures)
        $outside = @(foreach ($failure in $failures) {
                if (Test-FailureCode -ErrorRecord $failure -Code 'DHCP 20116') { $failure }
            })
        $failures = @(foreach ($failure in $failures) { if ($outside -notcontains $failure) { $failure } })
        if ($statistics.Count -eq 0 -or $outside.Count -gt 0) {
            # Some builds refuse the failover figures of scopes outside failover, or of all scopes to some accounts.
            $known = @{}
            foreach ($statistic in $statistics) { $known["$($statistic.ScopeId)"] = $true }
            $plain = @(DhcpServer\Get-DhcpServerv4ScopeStatistics @Restriction `
                    -ErrorAction SilentlyContinue -ErrorVariable plainFailures)
            $statistics += @(foreach ($statistic in $plain) {
                    if (-not $known.ContainsKey("$($statistic.ScopeId)")) { $statistic }
                })
            if ($failures.Count -eq 0) { $failures = @($plainFailures) }
        }
        $errors = @(Get-ScopeFailure -Record $statistics -Failure $failures)
        $data = foreach ($statistic in $statistics) {
            [ordered] @{
                ScopeId                       = ConvertTo-Text -Value $statistic.ScopeId
                AddressesFree                 = $statistic.AddressesFree
                AddressesInUse                = $statistic.AddressesInUse
                PendingOffers                 = $statistic.PendingOffers
                ReservedAddress               = $statistic.ReservedAddress
                PercentageInUse               = $statistic.PercentageInUse
                AddressesFreeOnThisServer     = $statistic.AddressesFreeOnThisServer
                AddressesFreeOnPartnerServer  = $statistic.AddressesFreeOnPartnerServer
                AddressesInUseOnThisServer    = $statistic.AddressesInUseOnThisServer
                AddressesInUseOnPartnerServer = $statistic.AddressesInUseOnPartnerServer
            }
        }
        return @{ data = @($data); errors = $errors }
    }

    function Find-PerformanceCounter {
        param($Instance, [string] $Pattern)
        foreach ($property in $Instance.CimInstanceProperties) {
            if ($property.Name -like $Pattern) { return $property.Value }
        }
        return $null
    }

    function ConvertTo-Silence {
        param([string] $Item, [string] $Id)
        return [ordered] @{
            item     = $Item
            id       = $Id
            category = 'ObjectNotFound'
            message  = "$Item answered nothing: there is nothing, or nothing that this account may read."
        }
    }

    function Get-CounterSection {
        # Two sources with different rights: the DHCP service, and a performance class, which does not refuse
        # an account without the right, but answers nothing.
        $errors = @()
        $statistics = $null
        $performance = $null
        $cmdlet = 'Get-DhcpServerv4Statistics'
        $class = 'Win32_PerfRawData_dhcpserver_DHCPServer'
        try {
            $statistics = DhcpServer\Get-DhcpServerv4Statistics -ErrorAction Stop
            if ($null -eq $statistics) { $errors += ConvertTo-Silence -Item $cmdlet -Id 'NoAnswer' }
        }
        catch { $errors += ConvertTo-ItemFailure -ErrorRecord $_ -Item 'Get-DhcpServerv4Statistics' }
        try {
            $performance = CimCmdlets\Get-CimInstance -ClassName $class -ErrorAction Stop
            if ($null -eq $performance) { $errors += ConvertTo-Silence -Item $class -Id 'NoInstance' }
        }
        catch { $errors += ConvertTo-ItemFailure -ErrorRecord $_ -Item $class }
        if ($null -eq $statistics -and $null -eq $performance) {
            # Of the two, the DHCP service's own word.
            $first = $errors[0]
            return @{ error = [ordered] @{ id = $first.id; category = $first.category; message = $first.message } }
        }
        return @{
            data   = [ordered] @{
                ServerStartTime                    = ConvertTo-UtcText -Time $statistics.ServerStartTime
                Discovers                          = $statistics.Discovers
                Offers                             = $statistics.Offers
                Requests                           = $statistics.Requests
                Acks                               = $statistics.Acks
                Naks                               = $statistics.Naks
                Declines                           = $statistics.Declines
                Releases                           = $statistics.Releases
                BndUpdSent                         = $performance.FailoverBndUpdsentPersec
                BndUpdReceived                     = $performance.FailoverBndUpdreceivedPersec
                BndUpdPending                      = $performance.FailoverBndUpdpendinginoutboundqueue
                BndUpdDropped                      = $performance.FailoverBndUpdDropped
                BndAckSent                         = $performance.FailoverBndAcksentPersec
                BndAckReceived                     = $performance.FailoverBndAckreceivedPersec
                # The names of these three are not documented.
                TransitionsCommunicationInterrupted = Find-PerformanceCounter -Instance $performance `
                    -Pattern 'Failover*COMMUNICATION*INTERRUPTED*'
                TransitionsPartnerDown             = Find-PerformanceCounter -Instance $performance `
                    -Pattern 'Failover*PARTNER*DOWN*'
                TransitionsRecover                 = Find-PerformanceCounter -Instance $performance `
                    -Pattern 'Failover*RECOVER*'
            }
            errors = $errors
        }
    }

    function Get-ChannelRecord {
        param([string] $Channel = 'Admin', [string] $Query = '*', [long] $MaxEvents, [switch] $Oldest)
        $log = "Microsoft-Windows-DHCP Server Events/$Channel"
        try {
            Microsoft.PowerShell.Diagnostics\Get-WinEvent -LogName $log -FilterXPath $Query `
                -MaxEvents $MaxEvents -Oldest:$Oldest -ErrorAction Stop
        }
        catch {
            if ("$($_.FullyQualifiedErrorId)" -notlike 'NoMatchingEventsFound,*') { throw }
        }
    }

    function Get-FailoverEvent {
        param([long] $AfterEvent, [int] $MaxEvents)
        if ($AfterEvent -ge 0) {
            $query = "*[System[EventID>=20251 and EventID<=20292 and EventRecordID>$AfterEvent]]"
            return Get-ChannelRecord -Query $query -MaxEvents ($MaxEvents + 1) -Oldest
        }
        $query = '*[System[EventID=20251 or EventID=20252 or EventID=20259 or EventID=20260]]'
        $newest = @(Get-ChannelRecord -Query $query -MaxEvents 50)
        [array]::Reverse($newest)
        return $newest
    }

    function Get-ConfigurationChange {
        # Scopes, options and reservations, exclusions, policies.
        $query = '*[System[(EventID>=70 and EventID<=84) or (EventID>=105 and EventID<=107) or EventID=116 or ' +
            '(EventID>=119 and EventID<=120) or (EventID>=20220 and EventID<=20239)]]'
        $newest = @(Get-ChannelRecord -Channel 'Operational' -Query $query -MaxEvents 50)
        [array]::Reverse($newest)
        return $newest
    }

    function ConvertTo-EventRecord {
        param($Record)
        return [ordered] @{
            RecordId    = $Record.RecordId
            Id          = $Record.Id
            TimeCreated = ConvertTo-UtcText -Time $Record.TimeCreated
            Level       = $Record.Level
            Properties  = @(foreach ($property in $Record.Properties) { "$($property.Value)" })
        }
    }

    function Get-EventSection {
        param([long] $AfterEvent)
        $eventsPerCall = 500
        $newest = Get-ChannelRecord -MaxEvents 1
        $oldest = Get-ChannelRecord -MaxEvents 1 -Oldest
        $records = @(Get-FailoverEvent -AfterEvent $AfterEvent -MaxEvents $eventsPerCall)
        $more = $records.Count -gt $eventsPerCall
        if ($more) { $records = @($records[0..($eventsPerCall - 1)]) }
        $events = @(foreach ($record in $records) { ConvertTo-EventRecord -Record $record })
        $errors = @()
        $changes = $null
        # They only tell where to look again: an account that may not read them still gets the events.
        try { $changes = @(foreach ($record in Get-ConfigurationChange) { ConvertTo-EventRecord -Record $record }) }
        catch { $errors += ConvertTo-ItemFailure -ErrorRecord $_ -Item 'Changes' }
        return @{
            data   = [ordered] @{
                NewestRecordId    = $newest.RecordId
                OldestRecordId    = $oldest.RecordId
                OldestTimeCreated = ConvertTo-UtcText -Time $oldest.TimeCreated
                More              = $more
                Events            = $events
                Changes           = $changes
            }
            errors = $errors
        }
    }

    function Test-PowerShellPolicy {
        param([string] $Policy, [string] $Name)
        $key = "HKLM:\SOFTWARE\Policies\Microsoft\Windows\PowerShell\$Policy"
        try { $values = Microsoft.PowerShell.Management\Get-ItemProperty -Path $key -ErrorAction Stop }
        catch {
            if ("$($_.CategoryInfo.Category)" -eq 'ObjectNotFound') { return $false }
            throw
        }
        return $values.$Name -eq 1
    }

    function Get-SettingSection {
        $errors = @()
        $setting = $null
        $transcription = $null
        $moduleLogging = $null
        try { $setting = DhcpServer\Get-DhcpServerSetting -ErrorAction Stop }
        catch { $errors += ConvertTo-ItemFailure -ErrorRecord $_ -Item 'IsAuthorized' }
        try { $transcription = Test-PowerShellPolicy -Policy 'Transcription' -Name 'EnableTranscripting' }
        catch { $errors += ConvertTo-ItemFailure -ErrorRecord $_ -Item 'Transcription' }
        try { $moduleLogging = Test-PowerShellPolicy -Policy 'ModuleLogging' -Name 'EnableModuleLogging' }
        catch { $errors += ConvertTo-ItemFailure -ErrorRecord $_ -Item 'ModuleLogging' }
        return @{
            data   = [ordered] @{
                IsDomainJoined = $setting.IsDomainJoined
                IsAuthorized   = $setting.IsAuthorized
                Transcription  = $transcription
                ModuleLogging  = $moduleLogging
            }
            errors = $errors
        }
    }

    function Test-FailoverPort {
        param($LocalPort)
        foreach ($port in $LocalPort) {
            if ("$port" -eq '647') { return $true }
            if ("$port" -match '^(\d+)-(\d+)$' -and [int] $Matches[1] -le 647 -and [int] $Matches[2] -ge 647) {
                return $true
            }
        }
        return $false
    }

    function ConvertTo-FirewallRecord {
        param([string] $Name, $Rule, $LocalPort)
        $present = $null -ne $Rule
        $enabled = $null
        # An enumeration in which False is 2: as a boolean it would be true.
        if ($present) { $enabled = "$($Rule.Enabled)" -eq 'True' }
        return [ordered] @{
            Name                  = $Name
            Present               = $present
            Enabled               = $enabled
            Direction             = ConvertTo-Text -Value $Rule.Direction
            Action                = ConvertTo-Text -Value $Rule.Action
            Profile               = ConvertTo-Text -Value $Rule.Profile
            LocalPort             = @(ConvertTo-TextList -Value $LocalPort)
            PolicyStoreSourceType = ConvertTo-Text -Value $Rule.PolicyStoreSourceType
        }
    }

    function Get-DisabledRule {
        param([string] $Name)
        # The active store may leave out what is disabled. A rule that is enabled in the persistent store and
        # yet not active has no effect: for the caller it is not there.
        $rule = NetSecurity\Get-NetFirewallRule -Name $Name -PolicyStore 'PersistentStore' -ErrorAction SilentlyContinue
        if ("$($rule.Enabled)" -eq 'False') { return $rule }
        return $null
    }

    function Test-AnyPortBlock {
        param($Rule, $LocalPort)
        return "$LocalPort" -eq 'Any' -and "$($Rule.Enabled)" -eq 'True' -and
            "$($Rule.Direction)" -eq 'Inbound' -and "$($Rule.Action)" -eq 'Block'
    }

    function Get-UnlimitedRule {
        # By id, the rules for every program and every address. A refused prompt leaves a Block rule on all ports
        # of one program, a block list one on all ports for some addresses: neither closes 647 to the partner,
        # as far as this can tell; what it cannot tell, the ports section does.
        $unlimited = @{}
        foreach ($filter in NetSecurity\Get-NetFirewallApplicationFilter -PolicyStore 'ActiveStore' -ErrorAction Stop) {
            if ("$($filter.Program)" -eq 'Any' -and "$($filter.Package)" -eq '') {
                $unlimited["$($filter.InstanceID)"] = $true
            }
        }
        foreach ($filter in NetSecurity\Get-NetFirewallAddressFilter -PolicyStore 'ActiveStore' -ErrorAction Stop) {
            if ("$($filter.LocalAddress)" -ne 'Any' -or "$($filter.RemoteAddress)" -ne 'Any') {
                $unlimited["$($filter.InstanceID)"] = $false
            }
        }
        return $unlimited
    }

    function Get-BlockingRule {
        param($Rules, $Filters)
        $suspects = @(foreach ($rule in $Rules) {
                if (Test-AnyPortBlock -Rule $rule -LocalPort $Filters["$($rule.InstanceID)"]) { $rule }
            })
        $blocking = @{}
        # Most servers have none, and are spared two listings.
        if ($suspects.Count -eq 0) { return $blocking }
        $unlimited = Get-UnlimitedRule
        foreach ($rule in $suspects) { $blocking["$($rule.InstanceID)"] = $unlimited["$($rule.InstanceID)"] }
        return $blocking
    }

    function Get-FirewallSection {
        # The list is short on purpose: what names 647, and what closes it without naming it. Allow rules on any
        # port are left out, since they would list most of what Windows installs.
        $builtIn = @('Microsoft-Windows-DHCP-Failover-TCP-In', 'Microsoft-Windows-DHCP-Failover-TCP-Out')
        $filters = @{}
        # Ports are objects of their own; one listing joined by id instead of a call per rule.
        foreach ($filter in NetSecurity\Get-NetFirewallPortFilter -PolicyStore 'ActiveStore' -ErrorAction Stop) {
            if ('TCP', '6', 'Any' -contains "$($filter.Protocol)") {
                $filters["$($filter.InstanceID)"] = $filter.LocalPort
            }
        }
        $rules = @(NetSecurity\Get-NetFirewallRule -PolicyStore 'ActiveStore' -ErrorAction Stop)
        $blocking = Get-BlockingRule -Rules $rules -Filters $filters
        $found = @{}
        $data = @(foreach ($rule in $rules) {
                $ports = $filters["$($rule.InstanceID)"]
                $counts = $builtIn -contains $rule.Name -or $blocking["$($rule.InstanceID)"]
                if ($counts -or (Test-FailoverPort -LocalPort $ports)) {
                    $found["$($rule.Name)"] = $true
                    ConvertTo-FirewallRecord -Name $rule.Name -Rule $rule -LocalPort $ports
                }
            })
        $data += @(foreach ($name in $builtIn) {
                if (-not $found.ContainsKey($name)) {
                    ConvertTo-FirewallRecord -Name $name -Rule (Get-DisabledRule -Name $name) -LocalPort $null
                }
            })
        return @{ data = $data; errors = @() }
    }

    function ConvertTo-OptionRecord {
        param($Option)
        return [ordered] @{
            OptionId    = $Option.OptionId
            Type        = ConvertTo-Text -Value $Option.Type
            Value       = @(ConvertTo-TextList -Value $Option.Value)
            VendorClass = ConvertTo-Text -Value $Option.VendorClass
            UserClass   = ConvertTo-Text -Value $Option.UserClass
            PolicyName  = ConvertTo-Text -Value $Option.PolicyName
        }
    }

    function Get-OptionValue {
        param($Restriction)
        try {
            foreach ($option in DhcpServer\Get-DhcpServerv4OptionValue @Restriction -All -Brief -ErrorAction Stop) {
                ConvertTo-OptionRecord -Option $option
            }
        }
        catch {
            # Where no option is set, a build may say so by an error (not confirmed for -All).
            if (-not (Test-FailureCode -ErrorRecord $_ -Code 'DHCP 20010')) { throw }
        }
    }

    function Get-ScopeReservation {
        param([string] $ScopeId)
        # AddressState is left out: it says whether the client is there, not what is configured.
        foreach ($reservation in DhcpServer\Get-DhcpServerv4Reservation -ScopeId $ScopeId -ErrorAction Stop) {
            [ordered] @{
                IPAddress   = ConvertTo-Text -Value $reservation.IPAddress
                ClientId    = ConvertTo-Text -Value $reservation.ClientId
                Name        = ConvertTo-Text -Value $reservation.Name
                Description = ConvertTo-Text -Value $reservation.Description
                Type        = ConvertTo-Text -Value $reservation.Type
            }
        }
    }

    function ConvertTo-RangeRecord {
        param($Range)
        return [ordered] @{
            StartRange = ConvertTo-Text -Value $Range.StartRange
            EndRange   = ConvertTo-Text -Value $Range.EndRange
        }
    }

    function Get-ScopePolicy {
        param([string] $ScopeId)
        $policies = @(DhcpServer\Get-DhcpServerv4Policy -ScopeId $ScopeId -ErrorAction Stop)
        if ($policies.Count -eq 0) { return }
        $ranges = @(DhcpServer\Get-DhcpServerv4PolicyIPRange -ScopeId $ScopeId -ErrorAction Stop)
        foreach ($policy in $policies) {
            [ordered] @{
                Name            = ConvertTo-Text -Value $policy.Name
                Enabled         = $policy.Enabled
                ProcessingOrder = $policy.ProcessingOrder
                Condition       = ConvertTo-Text -Value $policy.Condition
                Description     = ConvertTo-Text -Value $policy.Description
                VendorClass     = @(ConvertTo-TextList -Value $policy.VendorClass)
                UserClass       = @(ConvertTo-TextList -Value $policy.UserClass)
                MacAddress      = @(ConvertTo-TextList -Value $policy.MacAddress)
                ClientId        = @(ConvertTo-TextList -Value $policy.ClientId)
                Fqdn            = @(ConvertTo-TextList -Value $policy.Fqdn)
                RelayAgent      = @(ConvertTo-TextList -Value $policy.RelayAgent)
                CircuitId       = @(ConvertTo-TextList -Value $policy.CircuitId)
                RemoteId        = @(ConvertTo-TextList -Value $policy.RemoteId)
                SubscriberId    = @(ConvertTo-TextList -Value $policy.SubscriberId)
                Ranges          = @(foreach ($range in $ranges) {
                        if ($range.Name -eq $policy.Name) { ConvertTo-RangeRecord -Range $range }
                    })
            }
        }
    }

    function ConvertTo-ScopeProperty {
        param($Scope)
        return [ordered] @{
            Name             = ConvertTo-Text -Value $Scope.Name
            Description      = ConvertTo-Text -Value $Scope.Description
            SubnetMask       = ConvertTo-Text -Value $Scope.SubnetMask
            StartRange       = ConvertTo-Text -Value $Scope.StartRange
            EndRange         = ConvertTo-Text -Value $Scope.EndRange
            SuperscopeName   = ConvertTo-Text -Value $Scope.SuperscopeName
            State            = ConvertTo-Text -Value $Scope.State
            Type             = ConvertTo-Text -Value $Scope.Type
            LeaseDuration    = ConvertTo-LeaseSecond -Duration $Scope.LeaseDuration
            Delay            = $Scope.Delay
            MaxBootpClients  = $Scope.MaxBootpClients
            ActivatePolicies = $Scope.ActivatePolicies
            NapEnable        = $Scope.NapEnable
            NapProfile       = ConvertTo-Text -Value $Scope.NapProfile
        }
    }

    function Get-ScopeConfiguration {
        param($Scope, $Exclusions)
        $id = "$($Scope.ScopeId)"
        $failures = @()
        $options = $null
        $reservations = $null
        $policies = $null
        try { $options = @(Get-OptionValue -Restriction @{ ScopeId = $id }) } catch { $failures += $_ }
        try { $reservations = @(Get-ScopeReservation -ScopeId $id) } catch { $failures += $_ }
        try { $policies = @(Get-ScopePolicy -ScopeId $id) } catch { $failures += $_ }
        return @{
            data   = [ordered] @{
                ScopeId      = $id
                Scope        = ConvertTo-ScopeProperty -Scope $Scope
                Options      = $options
                Reservations = $reservations
                Exclusions   = $Exclusions
                Policies     = $policies
            }
            errors = @(foreach ($failure in $failures) { ConvertTo-ItemFailure -ErrorRecord $failure -Item $id })
        }
    }

    function Get-ExclusionTable {
        param([string[]] $ScopeId)
        $table = @{}
        foreach ($id in $ScopeId) { $table[$id] = @() }
        foreach ($exclusion in DhcpServer\Get-DhcpServerv4ExclusionRange -ScopeId $ScopeId -ErrorAction Stop) {
            $table["$($exclusion.ScopeId)"] += @(ConvertTo-RangeRecord -Range $exclusion)
        }
        return $table
    }

    function Get-ConfigurationSection {
        param([string[]] $ScopeId)
        if ($ScopeId.Count -eq 0) {
            $ScopeId = @(foreach ($relationship in Get-Relationship) {
                    ConvertTo-TextList -Value $relationship.ScopeId
                })
        }
        $data = @()
        $errors = @()
        try { $data += [ordered] @{ ServerOptions = @(Get-OptionValue -Restriction @{}) } }
        catch { $errors += ConvertTo-ItemFailure -ErrorRecord $_ -Item 'ServerOptions' }
        if ($ScopeId.Count -eq 0) { return @{ data = $data; errors = $errors } }
        $scopes = @(DhcpServer\Get-DhcpServerv4Scope -ScopeId $ScopeId `
                -ErrorAction SilentlyContinue -ErrorVariable failures)
        $errors += @(Get-ScopeFailure -Record $scopes -Failure $failures)
        # Read as a whole or not at all: what is missing would look like drift.
        $exclusions = @{}
        $existing = @(foreach ($scope in $scopes) { "$($scope.ScopeId)" })
        try { if ($existing.Count -gt 0) { $exclusions = Get-ExclusionTable -ScopeId $existing } }
        catch { $errors += ConvertTo-ItemFailure -ErrorRecord $_ -Item 'Exclusions' }
        foreach ($scope in $scopes) {
            $configuration = Get-ScopeConfiguration -Scope $scope -Exclusions $exclusions["$($scope.ScopeId)"]
            $data += $configuration.data
            $errors += $configuration.errors
        }
        return @{ data = $data; errors = $errors }
    }

    function Get-UnknownSection {
        param([string] $Name)
        return @{
            error = [ordered] @{
                id       = 'UnknownSection'
                category = 'InvalidArgument'
                message  = "This version knows no section '$Name'."
            }
        }
    }

    #endregion

    #region Documents

    function Get-SectionContent {
        param([string] $Name)
        $restriction = @{}
        if ($ScopeId.Count -gt 0) { $restriction.ScopeId = $ScopeId }
        switch -CaseSensitive ($Name) {
            'server' { return Get-ServerSection }
            'relationships' { return Get-RelationshipSection }
            'ports' { return Get-PortSection }
            'scopes' { return Get-ScopeSection -Restriction $restriction }
            'statistics' { return Get-StatisticSection -Restriction $restriction }
            'counters' { return Get-CounterSection }
            'events' { return Get-EventSection -AfterEvent $AfterEvent }
            'settings' { return Get-SettingSection }
            'firewall' { return Get-FirewallSection }
            'configuration' { return Get-ConfigurationSection -ScopeId $ScopeId }
            default { return Get-UnknownSection -Name $Name }
        }
    }

    function ConvertTo-Document {
        param([string] $Name, $Content, $Seconds)
        $parts = 1
        while ($Content.data -is [array] -and $parts * $recordsPerDocument -lt $Content.data.Count) { $parts += 1 }
        for ($part = 1; $part -le $parts; $part += 1) {
            $document = [ordered] @{ contract = 1; section = $Name; part = $part; parts = $parts; elapsed = $Seconds }
            $document.utc = ConvertTo-UtcText -Time ([datetime]::UtcNow)
            if ($null -ne $Content.error) {
                $document.error = $Content.error
            }
            else {
                $document.data = $Content.data
                if ($parts -gt 1) {
                    $first = ($part - 1) * $recordsPerDocument
                    $document.data = @($Content.data[$first..($first + $recordsPerDocument - 1)])
                }
                $document.errors = @()
                if ($part -eq 1) { $document.errors = @($Content.errors) }
            }
            ConvertTo-JsonText -Value $document
        }
    }

    foreach ($name in $Section) {
        $startedUtc = [datetime]::UtcNow
        try { $content = Get-SectionContent -Name $name }
        catch { $content = @{ error = ConvertTo-Failure -ErrorRecord $_ } }
        $seconds = ([datetime]::UtcNow - $startedUtc).TotalSeconds
        ConvertTo-Document -Name $name -Content $content -Seconds $seconds
    }

    #endregion
}
