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
    Sections to read: server, relationships, ports, scopes, statistics, settings.
    A name that this version does not know is answered by the error UnknownSection.

    .PARAMETER ScopeId
    Restricts scopes and statistics to these scopes. A scope that does not exist any more is reported
    in "errors" and is missing from "data".

    .PARAMETER AfterEvent
    Record id of the newest event that the caller already has.

    .OUTPUTS
    System.String. JSON documents in ASCII, with at most 1,000 records each.

    .EXAMPLE
    Get-DhcpFailoverSnapshot -Section server, relationships

    .EXAMPLE
    Get-DhcpFailoverSnapshot -Section statistics -ScopeId 10.0.1.0, 10.0.2.0

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

        [long] $AfterEvent
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

    function Assert-SomethingRead {
        param($Record, $Failure)
        if (@($Record).Count -gt 0) { return }
        foreach ($errorRecord in $Failure) {
            # A slice of which every scope was deleted meanwhile (20005) is read: it is empty.
            if (-not (Test-FailureCode -ErrorRecord $errorRecord -Code 'DHCP 20005')) { throw $errorRecord }
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
                ComputerName  = $env:COMPUTERNAME
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
        Assert-SomethingRead -Record $scopes -Failure $failures
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
        $errors = foreach ($failure in $failures) { ConvertTo-ScopeFailure -ErrorRecord $failure }
        return @{ data = @($data); errors = @($errors) }
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
        Assert-SomethingRead -Record $statistics -Failure $failures
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
        $errors = foreach ($failure in $failures) { ConvertTo-ScopeFailure -ErrorRecord $failure }
        return @{ data = @($data); errors = @($errors) }
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
            'settings' { return Get-SettingSection }
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
